# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `infrastructure_settings.dns` and `infrastructure_secrets.tsig` hold, wherever names are made by RFC 2136."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import Problem
from ..reader import Reader

KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
BASE64 = re.compile(r"[A-Za-z0-9+/]+=*")
ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")


@dataclass(frozen=True)
class NameServer:
    """Where the names are. zone: what holds the claims on servers; empty stands for infrastructure_dns.zone."""

    server: str = ""
    port: int = 53
    zone: str = ""
    key: str = ""
    algorithm: str = "hmac-sha256"


def name_server(reader: Reader) -> NameServer:
    """Without the zone, which not everybody may choose. The caller ends the reader."""
    return NameServer(
        server=reader.text("server", what="the primary name server's address or name"),
        port=reader.number("port", 53, 1, 65535),
        key=reader.text("key", None, KEY, "the name of a TSIG key, such as caravan"),
        algorithm=reader.choice("algorithm", ALGORITHMS, "hmac-sha256"),
    )


def without_secret(tsig: object) -> list[Problem]:
    """What is wrong with the key's secret. A message about it never shows what was seen."""
    if isinstance(tsig, str) and BASE64.fullmatch(tsig):
        return []
    seen = "tsig is not set, or not base64"
    return [Problem("secrets", seen, "the secret of the TSIG key", "infrastructure_secrets.tsig")]
