# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as machines: claimed, started with their operating system, stopped and let go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..base import Handler
from ..errors import ProviderError
from ..model import Change, Found, Kind, Properties, Resource
from ..ownership import Ownership
from ..rfc2136.claims import Claim, Claims
from ..rfc2136.nameserver import RefusedUpdate
from .redfish import Redfish
from .settings import Boot, Server, Settings

# What the claim says of a machine, since a server has no field for it. {property: tag}
KEPT = {"pool": "caravan.cluster/pool", "roles": "caravan.cluster/roles", "image": "caravan.cluster/image"}
ASKED = 16  # controllers at a time


class Machine(Handler):
    """One claim and one server. Its id is the server's name.

    A machine without a stamp is not known to have been started for its first time. If it is off, it is started from its
    installation medium; if it is on, a run has been interrupted after that, and it is left to its installation. One
    with a stamp that others have switched off is only switched on.
    """

    kind = Kind("machine", mutable=frozenset({"installed", "running"}), create_only=frozenset({"boot"}))

    def __init__(self, claims: Claims, redfish: Redfish, settings: Settings, ownership: Ownership) -> None:
        self.claims, self.redfish, self.settings, self.ownership = claims, redfish, settings, ownership

    def observe(self) -> Iterator[Found]:
        own = self.claims.own(self.claims.zones.read(self.claims.zone))
        with ThreadPoolExecutor(max_workers=ASKED) as pool:
            yield from pool.map(self._observed, own)

    def _observed(self, claim: Claim) -> Found:
        server = self._server(claim)
        properties = {
            "pool": claim.tags.get(KEPT["pool"], ""),
            "roles": claim.tags.get(KEPT["roles"], "").split(","),
            "image": claim.tags.get(KEPT["image"], ""),
            "running": self.redfish.is_on(server),
        }
        return self._found(self.ownership.name(claim.tags), server, properties, self.ownership.stamp(claim.tags))

    def create(self, wanted: Resource, token: str) -> Found:
        server = self._wanted(wanted)
        owner, text = self.claims.owner(self._subject(server)), self._text(wanted, "")
        try:
            self.claims.zones.add(self.claims.zone, {(owner, "TXT"): [text]})
        except RefusedUpdate as error:
            raise ProviderError(
                f"{wanted.key}: server {server.name} has been claimed by somebody else: {error}"
            ) from error
        if self.redfish.is_on(server):
            self.claims.zones.remove(self.claims.zone, [(owner, "TXT")], (owner, [text]))
            raise ProviderError(f"{wanted.key}: server {server.name} is on, and was nobody's: it may be in use")
        return self._complete(wanted, server, running=False, stamp="")

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, self._wanted(wanted), bool(found.properties["running"]), found.stamp)

    def _complete(self, wanted: Resource, server: Server, running: bool, stamp: str) -> Found:
        if not running:
            self.redfish.start(server, Boot(**wanted.properties["boot"]) if not stamp else None)
        if stamp != wanted.stamp:
            claim = self.claims.find(self._subject(server))
            if claim is None:
                raise ProviderError(f"{wanted.key}: the claim on server {server.name} is gone from the zone")
            text = self._text(wanted, wanted.stamp)
            self.claims.zones.replace(self.claims.zone, {(claim.owner, "TXT"): [text]}, (claim.owner, [claim.text]))
        return self._found(wanted.name, server, {**wanted.properties, "running": True}, wanted.stamp)

    def delete(self, found: Found) -> None:
        """The claim goes last: until then nobody else takes a server that may still run. Disks are left as they are."""
        server = self.settings.server(found.id)
        claim = self.claims.find(self._subject(server)) if server else None
        if server is None or claim is None or self.ownership.name(claim.tags) != found.name:
            return
        self.redfish.stop(server)
        self.claims.zones.remove(self.claims.zone, [(claim.owner, "TXT")], (claim.owner, [claim.text]))

    def _subject(self, server: Server) -> str:
        return f"{server.name}.{self.claims.zone}"

    def _text(self, wanted: Resource, stamp: str) -> str:
        own = wanted.properties
        tags = {KEPT["pool"]: own["pool"], KEPT["roles"]: ",".join(own["roles"]), KEPT["image"]: own["image"]}
        return self.claims.text(wanted.name, stamp, tags)

    def _wanted(self, wanted: Resource) -> Server:
        server = self.settings.server(wanted.properties["server"])
        if server is None:
            raise ProviderError(f"{wanted.key}: there is no server for it")
        return server

    def _server(self, claim: Claim) -> Server:
        name = claimed_server(claim, self.claims.zone)
        server = self.settings.server(name)
        if server is None:
            raise ProviderError(f"server {name} is claimed and in no settings")
        return server

    def _found(self, name: str, server: Server, own: Properties, stamp: str) -> Found:
        running = bool(own["running"])
        properties = {
            **{key: own[key] for key in KEPT},
            "server": server.name,
            "size": server.size,
            "failure_domain": server.failure_domain,
            "installed": bool(stamp),
            "running": running,
        }
        details: Mapping[str, object] = {
            "state": "running" if running else "stopped",
            "addresses": [{"type": "InternalIP", "value": server.address}, {"type": "Hostname", "value": name}],
        }
        return Found("machine", name, server.name, properties, stamp, details)


def claimed_server(claim: Claim, zone: str) -> str:
    """The name of the server that a claim is on."""
    return claim.subject[: -len(zone) - 1]
