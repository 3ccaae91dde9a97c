# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks before have seen on all hosts, read on the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._identity.crypto import read_leaf
from .._identity.pem import fingerprint
from .catalogue import AUTHORITIES
from .errors import AuthorityError

SEEN = "__authority_rotation_seen"
HELD = "__authority_rotation_held"


def seen_of(hosts: Sequence[str], variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what was seen, by host. AuthorityError where a host is missing or is in no state to go on."""
    seen: dict[str, dict[str, Any]] = {}
    problems = []
    for host in hosts:
        entry = (variables["hostvars"].get(host) or {}).get(SEEN) or {}
        if "bundles" not in entry:
            problems.append(
                f"{host}: it was not reached, and all hosts are needed: it would be locked out. Bring it back, or take "
                "it out with remove_node.yml"
            )
        elif entry["problem"]:
            problems.append(f"{host}: {entry['problem']}")
        seen[host] = entry
    if problems:
        raise AuthorityError(f"Authorities cannot be rotated, and nothing was changed. {'; '.join(problems)}")
    return seen


def unsigned(entry: Mapping[str, Any], newest: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return what of a host was not signed by the newest of those authorities. `newest`: PEM by authority."""
    return [
        leaf
        for leaf in entry["leaves"]
        if leaf["authority"] in newest and not _is_signed(leaf["pem"], newest[leaf["authority"]])
    ]


def _is_signed(pem: str, authority: str) -> bool:
    facts = read_leaf(pem, authority, True, True) if pem else None
    return facts is not None and facts.signed_by_authority


def told_of(newest: Mapping[str, str]) -> str:
    """Return the fingerprints in a form to be read."""
    return ", ".join(f"{name} {fingerprint(newest[name])[:12]}" for name in AUTHORITIES if name in newest)
