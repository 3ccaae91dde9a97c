# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a host's own certificates: what is public of them, and whether their keys are as they have to be."""

from __future__ import annotations

import grp
import pwd
import ssl
from pathlib import Path
from typing import Any

from .catalogue import LeafFile


def attributes_of(path: Path) -> str:
    """Mode, owner and group in one line; numbers where names are unknown."""
    stat = path.stat()
    try:
        owner = pwd.getpwuid(stat.st_uid).pw_name
    except KeyError:
        owner = str(stat.st_uid)
    try:
        group = grp.getgrgid(stat.st_gid).gr_name
    except KeyError:
        group = str(stat.st_gid)
    return f"{stat.st_mode & 0o7777:04o} {owner} {group}"


def fits(certificate: Path, key: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(str(certificate), str(key))
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    return True


def certificate_of(leaf: LeafFile) -> dict[str, Any] | None:
    """Return {pem, fits_key, key_is_private}; None for one that is missing or damaged, which is issued again."""
    key = Path(leaf.key)
    try:
        pem = Path(leaf.certificate).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    return {
        "pem": pem,
        "fits_key": fits(Path(leaf.certificate), key),
        "key_is_private": key.exists() and attributes_of(key) == f"0600 {leaf.owner} {leaf.group}",
    }
