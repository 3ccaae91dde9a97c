# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client certificates in kubeconfigs. Pure."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from collections.abc import Mapping
from typing import Any

from . import kubeconfig


def not_after(certificate_pem: str) -> datetime.datetime:
    """Return when a certificate ends."""
    return validity(certificate_pem)[1]


def validity(certificate_pem: str) -> tuple[datetime.datetime, datetime.datetime]:
    """Return (begin, end) of a certificate's life.

    A small walk through its DER: the standard library has no parser for it.

    Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version, serial, algorithm, issuer, validity SEQUENCE { from, to }
    ... } }
    """
    der = ssl.PEM_cert_to_DER_cert(
        certificate_pem[certificate_pem.index("-----BEGIN") :].split("-----END")[0] + "-----END CERTIFICATE-----\n"
    )

    def element(at: int) -> tuple[int, int, int]:
        """Return (tag, start of content, end of content) of the element at an offset."""
        length, start = der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(der[start : start + size], "big"), start + size
        return der[at], start, start + length

    _tag, at, _end = element(element(0)[1])  # into Certificate, into tbs
    tag, _start, end = element(at)
    if tag == 0xA0:
        at = end
    for _field in ("serial", "algorithm", "issuer"):
        at = element(at)[2]

    def moment(of: tuple[int, int, int]) -> datetime.datetime:
        tag, start, end = of
        text = der[start:end].decode("ascii")
        return datetime.datetime.strptime(text, "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ").replace(
            tzinfo=datetime.timezone.utc
        )

    first = element(element(at)[1])
    return moment(first), moment(element(first[2]))


def reason_to_write(text: str, ca_sha256: str, now: datetime.datetime, renew_before: datetime.timedelta) -> str:
    """Return why a kubeconfig has to be written (again); empty when it is in order.

    `ca_sha256` is the digest of the cluster's ca.crt; empty when there is none yet, and then it is not compared.
    """
    if not text:
        return "there is none"
    try:
        fields = kubeconfig.parse(text)
        end = not_after(fields["client-certificate-data"])
        ca = fields["certificate-authority-data"]
    except (KeyError, ValueError, IndexError) as error:
        return f"it cannot be used: {error}"
    if ca_sha256 and hashlib.sha256(ca.encode()).hexdigest() != ca_sha256:
        return "it is of another CA"
    if end - now < renew_before:
        return f"it ends on {end:%Y-%m-%d}"
    return ""


def reason_to_fetch(text: str, wanted: Mapping[str, Any], now: datetime.datetime) -> str:
    """Return why the controller's kubeconfig has to be written (again); empty when it is in order."""
    reason = reason_to_write(text, wanted["ca_sha256"], now, datetime.timedelta(hours=wanted["renew_before"]))
    if reason:
        return reason
    fields = kubeconfig.parse(text)
    if fields["server"] != wanted["server"]:
        return f"it names the server {fields['server']}"
    if fields.get("tls-server-name", "") != wanted["tls_server_name"]:
        return "it expects another name in the certificate"
    return ""
