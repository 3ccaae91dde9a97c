# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a DNS server: zone transfers and dynamic updates (RFC 2136), both signed (TSIG).

Nothing else imports dns. Names are absolute and in text, without the last dot. A zone is read as
{name: {type: sorted texts}}.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..errors import ProviderError, TransientError
from .settings import NameServer

MISSING = "records by RFC 2136 need the Python package dnspython on the controller: {}"
TIMEOUT = 10  # seconds for one message
TTL = 60
Records = Mapping[str, Mapping[str, list[str]]]
Answer = TypeVar("Answer")


class RefusedUpdate(ProviderError):
    """A prerequisite did not hold: somebody else has changed what was looked at. Nothing was changed."""


class UnauthorizedError(ProviderError):
    """The server does not take the key, or does not let it do this."""


class Zones:
    """One for all threads: every call has a connection of its own."""

    def __init__(self, settings: NameServer, secret: str) -> None:
        self.settings = settings
        self._secret = secret

    def read(self, zone: str) -> Records:
        """All records of a zone, in one transfer."""

        def transfer(dns: Any) -> Records:
            content = dns.zone.Zone(dns.name.from_text(zone), relativize=False)
            query, _serial = dns.xfr.make_query(content, keyring=self._key(dns))
            dns.query.inbound_xfr(
                self._address(), content, query, port=self.settings.port, timeout=TIMEOUT, lifetime=3 * TIMEOUT
            )
            found: dict[str, dict[str, list[str]]] = {}
            for name, rdataset in content.iterate_rdatasets():
                types = found.setdefault(name.to_text(omit_final_dot=True).lower(), {})
                types[dns.rdatatype.to_text(rdataset.rdtype)] = sorted(_text(rdata) for rdata in rdataset)
            return found

        return self._call(f"transfer of {zone}", transfer)

    def add(self, zone: str, records: Mapping[tuple[str, str], list[str]]) -> None:
        """Make records with names that nothing has; {(name, type): texts}. All of them, or none."""

        def change(dns: Any, update: Any) -> None:
            for (name, type), texts in records.items():
                update.absent(dns.name.from_text(name))
                update.add(dns.name.from_text(name), TTL, type, *texts)

        self._update(zone, change)

    def replace(self, zone: str, records: Mapping[tuple[str, str], list[str]], claim: tuple[str, list[str]]) -> None:
        """Put records in the place of what is there, as long as the TXT record `claim` (name, texts) is as it was."""

        def change(dns: Any, update: Any) -> None:
            self._claimed(dns, update, claim)
            for (name, type), texts in records.items():
                update.replace(dns.name.from_text(name), TTL, type, *texts)

        self._update(zone, change)

    def remove(self, zone: str, records: list[tuple[str, str]], claim: tuple[str, list[str]]) -> None:
        """Take records away (name, type), as long as the TXT record `claim` (name, texts) is as it was."""

        def change(dns: Any, update: Any) -> None:
            self._claimed(dns, update, claim)
            for name, type in records:
                update.delete(dns.name.from_text(name), type)

        self._update(zone, change)

    @staticmethod
    def _claimed(dns: Any, update: Any, claim: tuple[str, list[str]]) -> None:
        name, texts = claim
        update.present(dns.name.from_text(name), "TXT", *texts)

    def _update(self, zone: str, change: Callable[[Any, Any], None]) -> None:
        def send(dns: Any) -> None:
            update = dns.update.UpdateMessage(zone, keyring=self._key(dns))
            change(dns, update)
            answer = dns.query.tcp(update, self._address(), timeout=TIMEOUT, port=self.settings.port)
            _check(dns, answer.rcode(), f"update of {zone}")

        self._call(f"update of {zone}", send)

    def _key(self, dns: Any) -> Any:
        return dns.tsig.Key(self.settings.key, self._secret, self.settings.algorithm)

    def _address(self) -> str:
        try:
            return str(socket.getaddrinfo(self.settings.server, self.settings.port)[0][4][0])
        except socket.gaierror as error:
            raise ProviderError(f"dns.server {self.settings.server} cannot be resolved: {error}") from error

    def _call(self, what: str, step: Callable[[Any], Answer]) -> Answer:
        try:
            import dns.exception
            import dns.name
            import dns.query
            import dns.rcode
            import dns.rdatatype
            import dns.tsig
            import dns.update
            import dns.xfr
            import dns.zone
        except ImportError as error:
            raise ProviderError(MISSING.format(error)) from error
        about = f"{what} at {self.settings.server}"
        try:
            return step(dns)
        except dns.xfr.TransferError as error:
            _check(dns, error.rcode, about)
            raise ProviderError(f"{about}: {error}") from error
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey, dns.message.UnknownTSIGKey) as error:
            raise UnauthorizedError(f"{about}: {type(error).__name__}: {error}") from error
        except (OSError, EOFError, dns.exception.Timeout) as error:
            raise TransientError(f"{about}: {type(error).__name__}: {error}") from error
        except dns.exception.DNSException as error:
            raise ProviderError(f"{about}: {type(error).__name__}: {error}") from error


def _text(rdata: Any) -> str:
    return str(rdata.to_text(origin=None, relativize=False))


def _check(dns: Any, code: Any, about: str) -> None:
    """Raise what an answer's code stands for."""
    rcode = dns.rcode
    if code == rcode.NOERROR:
        return
    said = f"{about}: {rcode.to_text(code)}"
    if code in (rcode.YXDOMAIN, rcode.YXRRSET, rcode.NXRRSET, rcode.NXDOMAIN):
        raise RefusedUpdate(said)
    if code in (rcode.SERVFAIL,):
        raise TransientError(said)
    if code in (rcode.NOTAUTH, rcode.REFUSED, rcode.BADSIG, rcode.BADKEY):
        raise UnauthorizedError(said)
    raise ProviderError(said)
