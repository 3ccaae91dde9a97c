# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Order among things that need one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter


class LoopError(Exception):
    """Things that need one another in a circle. That is a mistake of a strategy, never of a user."""


def ordered(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Every name after all that it needs; names that are needed and have no entry are left out."""
    sorter = TopologicalSorter({name: sorted(set(own) & set(needs)) for name, own in sorted(needs.items())})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise LoopError(" -> ".join(error.args[1])) from error


def closure(needs: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """For every name all that it needs, directly or through others."""
    found: dict[str, frozenset[str]] = {}
    for name in ordered(needs):
        own = set(needs[name])
        found[name] = frozenset(own.union(*(found.get(other, frozenset()) for other in own)))
    return found
