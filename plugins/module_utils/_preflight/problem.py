# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A finding of preflight, and how findings become lines that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# More hosts than this with the same problem are counted, not listed.
LISTED_HOSTS = 5


@dataclass(frozen=True)
class Problem:
    """`seen` and `wanted` are clauses of one sentence; `change` names the variable (or what else is to be done)."""

    host: str
    seen: str
    wanted: str
    change: str


def lines(problems: Iterable[Problem], total: int = 0) -> list[str]:
    """One line for each different problem, naming its hosts; in the order of first appearance.

    A problem that all of the `total` hosts have in common says so in place of their names.
    """
    hosts: dict[tuple[str, str, str], dict[str, None]] = {}
    for problem in problems:
        hosts.setdefault((problem.seen, problem.wanted, problem.change), {})[problem.host] = None
    found = []
    for (seen, wanted, change), own in hosts.items():
        label = f"all {total} hosts" if 1 < total == len(own) else names(list(own))
        found.append(f"{label}: {seen}; wanted {wanted}; change {change}")
    return found


def names(hosts: list[str], limit: int = LISTED_HOSTS) -> str:
    """`a, b, c and 97 others`."""
    if len(hosts) <= limit:
        return ", ".join(hosts)
    return f"{', '.join(hosts[: limit - 1])} and {len(hosts) - limit + 1} others"


def message(problems: list[Problem], what: str, total: int = 0) -> str:
    """The one failure message that reports everything together."""
    found = lines(problems, total)
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return "\n".join(
        [f"Preflight found {count} in {what}. Nothing was changed on any host.", *(f"  {line}" for line in found)]
    )
