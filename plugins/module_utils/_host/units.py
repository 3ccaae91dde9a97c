# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure core of the `units` module: what systemd says, and what has to be done about it."""

from __future__ import annotations

PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "StateChangeTimestampMonotonic")

# States in which `systemctl enable` has nothing left to do, or (static, generated) nothing it could do.
_ENABLED = {"enabled", "enabled-runtime", "alias", "static", "generated", "indirect"}


def parse_show(text: str, names: list[str]) -> dict[str, dict[str, str]]:
    """Return {name: {property: value}} from `systemctl show`, which answers one paragraph a unit, in the order asked.

    An alias answers with the Id of the real unit, which is why the order and not the Id tells the units apart.
    """
    paragraphs = [block for block in text.split("\n\n") if block.strip()]
    if len(paragraphs) != len(names):
        raise ValueError(f"systemctl described {len(paragraphs)} units, {len(names)} were asked for")
    return {
        name: dict(line.partition("=")[::2] for line in block.strip().splitlines())
        for name, block in zip(names, paragraphs)
    }


def is_outdated(unit: dict[str, str], file_ages: list[float], monotonic_now: float) -> bool:
    """Whether an active unit last started or reloaded before one of its files changed.

    `file_ages` are seconds since each file changed, `monotonic_now` is CLOCK_MONOTONIC in seconds. A negative age
    means that the clock was set back since: such a file says nothing, or every run would restart the unit.
    """
    if unit.get("ActiveState") not in ("active", "reloading"):
        return False
    changed_at = int(unit.get("StateChangeTimestampMonotonic") or 0) / 1_000_000
    state_age = monotonic_now - changed_at
    return any(0 <= age < state_age for age in file_ages)


def plan(wanted: dict, unit: dict[str, str]) -> list[str]:
    """Return the systemctl verbs that bring one unit to the wanted state, in order.

    `wanted`: enabled, masked (bool or None: left as it is), state (started, stopped or None).
    """
    actions: list[str] = []
    masked = unit.get("LoadState") == "masked" or unit.get("UnitFileState", "").startswith("masked")
    if wanted.get("masked") is False and masked:
        actions.append("unmask")
    active = unit.get("ActiveState") in ("active", "reloading", "activating")
    if wanted.get("state") == "stopped" and active:
        actions.append("stop")
    if wanted.get("enabled") is True and unit.get("UnitFileState") not in _ENABLED:
        actions.append("enable")
    if wanted.get("enabled") is False and unit.get("UnitFileState", "").startswith("enabled"):
        actions.append("disable")
    if wanted.get("masked") is True and not masked:
        actions.append("mask")
    if wanted.get("state") == "started" and not active:
        actions.append("start")
    return actions


def describe(unit: dict[str, str]) -> str:
    """One line on a unit for the diff."""
    return f"{unit.get('UnitFileState') or unit.get('LoadState', 'unknown')}, {unit.get('ActiveState', 'unknown')}"
