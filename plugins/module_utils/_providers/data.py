# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds data stays, unless the user names it; and so does what that data cannot be read without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import Problem
from .model import Found, Kind


@dataclass(frozen=True)
class Kept:
    keys: frozenset[str]
    problems: tuple[Problem, ...] = ()


def kept(
    surplus: Sequence[Found], world: Mapping[str, Found], kinds: Mapping[str, Kind], named: frozenset[str]
) -> Kept:
    """Of what is not wanted any more, that which stays.

    named: the keys that the user allows to be deleted with their data. One that is kept for another one's sake (the key
    of an encrypted volume) is refused: the other one would be lost with it.
    """
    keys = {one.id: one.key for one in world.values()}
    stays = {one.key for one in surplus if kinds[one.kind].keeps_data and one.key not in named}
    problems = []
    waiting = sorted(stays)
    while waiting:
        holder = world[waiting.pop()]
        loose = kinds[holder.kind].loose
        for text in texts({name: value for name, value in holder.properties.items() if name not in loose}):
            needed = keys.get(text)
            if needed is None or needed in stays or needed == holder.key:
                continue
            if needed in named:
                problems.append(
                    Problem(
                        needed,
                        f"is named, and {holder.key}, which needs it, is not",
                        "both, or none",
                        "infrastructure_delete_data",
                    )
                )
            stays.add(needed)
            waiting.append(needed)
    return Kept(frozenset(stays & {one.key for one in surplus}), tuple(problems))


def apart(
    doubles: Sequence[Found], kinds: Mapping[str, Kind], named: frozenset[str]
) -> tuple[list[Found], list[Found]]:
    """Of resources that are there twice, those that stay and those that may go.

    One without a stamp was left by an interrupted run, and nothing has ever been written to it. One with a stamp may be
    a copy that somebody made with its tags, and holds data as the first one does.
    """
    held = [one for one in doubles if kinds[one.kind].keeps_data and one.stamp and one.key not in named]
    return held, [one for one in doubles if one not in held]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)
