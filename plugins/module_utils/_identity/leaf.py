# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host's certificate has to be issued (again). Pure: dates and keys come in as plain facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .catalogue import LeafFile

RENEW_BELOW = 0.3
EXPIRED = "expired"


@dataclass(frozen=True)
class LeafWanted:
    """What a certificate has to say."""

    common_name: str
    usages: frozenset[str]
    names: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LeafHeld:
    """What the certificate on the host says. `fits_key`: the key beside it is its own. Times are aware, in UTC."""

    common_name: str
    usages: frozenset[str]
    names: frozenset[str]
    addresses: frozenset[str]
    not_before: datetime
    not_after: datetime
    signed_by_authority: bool
    fits_key: bool = True
    key_is_private: bool = True


def wanted_of(leaf: LeafFile, name: str, address: str, extra_names: Sequence[str] = ()) -> LeafWanted:
    """The certificate of one host. `extra_names` are more DNS names for certificates that have names."""
    common_name = leaf.common_name.format(name=name)
    if not leaf.with_names:
        return LeafWanted(common_name, frozenset(leaf.usages))
    return LeafWanted(
        common_name,
        frozenset(leaf.usages),
        frozenset({name, "localhost", *extra_names}),
        frozenset({address, "127.0.0.1", "::1"}),
    )


def reason_to_issue(wanted: LeafWanted, held: LeafHeld | None, now: datetime) -> str:
    """Why a new certificate is needed, in words; empty when the one that is held will do."""
    if held is None:
        return "missing"
    if not held.fits_key:
        return "its key is missing or another one"
    if not held.key_is_private:
        return "its key could be read by others"
    if not held.signed_by_authority:
        return "signed by another authority"
    if held.common_name != wanted.common_name:
        return f"its name is {held.common_name}"
    if held.usages != wanted.usages:
        return "its usages differ"
    if held.names != wanted.names or held.addresses != wanted.addresses:
        return "its names or addresses differ"
    return reason_of_age(held, now)


def reason_of_age(held: LeafHeld, now: datetime) -> str:
    """Why a certificate that is right otherwise has to be renewed; empty when it has enough of its life left."""
    life = (held.not_after - held.not_before).total_seconds()
    left = (held.not_after - now).total_seconds()
    if left <= 0:
        return EXPIRED
    if left < RENEW_BELOW * life:
        return f"{left / life:.0%} of its life is left"
    return ""
