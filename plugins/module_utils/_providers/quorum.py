# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with etcd or a control plane go one at a time, and only while all the others are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import data
from .model import Found, Resource
from .spec import QUORUM_ROLES


def counts(kind: str, properties: Mapping[str, Any]) -> bool:
    return kind == "machine" and bool(QUORUM_ROLES & set(properties.get("roles", ())))


def put_off(desired: Sequence[Resource], found: Sequence[Found], going: Iterable[str]) -> dict[str, str]:
    """Of the machines that would go, those that must not go yet, each with the reason.

    The cluster has to take in a successor before the next machine may go, and that is not the infrastructure's work:
    one run of it lets one machine go.
    """
    there = {one.key for one in found if counts(one.kind, one.properties)}
    leaving = sorted(there & set(going))
    missing = sorted(one.key for one in desired if counts(one.kind, one.properties) and one.key not in there)
    if not leaving:
        return {}
    # Providers that can stop a machine tell whether it runs. The one that does not may go; no other one may before.
    stopped = {one.key for one in found if one.key in there and one.properties.get("running") is False}
    resting = sorted(stopped - set(leaving))
    if resting:
        return dict.fromkeys(leaving, f"{', '.join(resting)} has to run first")
    if missing:
        reason = f"{', '.join(missing)} has to be a member of the cluster first"
        return dict.fromkeys(leaving, reason)
    # Machines that the description still has come after those that it no longer has.
    wanted = {one.key for one in desired}
    first, *others = sorted(leaving, key=lambda key: (key not in stopped, key in wanted, key))
    return dict.fromkeys(others, f"after {first}: machines with etcd or a control plane go one at a time")


def without_waiting(surplus: Sequence[Found], world: Mapping[str, Found], waiting: Iterable[str]) -> list[Found]:
    """What may go of `surplus`: not the machines that wait, nor what they need, nor what leads to them."""
    held = [world[key] for key in waiting if key in world]
    needed = {text for one in held for text in data.texts(one.properties)}
    ids = {one.id for one in held}
    return [one for one in surplus if one.id not in ids | needed and not ids & set(data.texts(one.properties))]
