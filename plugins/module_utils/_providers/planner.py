# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one planner: what is wanted and what is there in, steps out. It knows no provider and calls nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import data, fingerprint, quorum
from .errors import InvalidError, Problem
from .graph import closure, ordered
from .model import Action, Change, Drift, Found, Kind, Plan, Resource, references, resolved
from .stamp import outdated, unchanged


@dataclass(frozen=True)
class Options:
    """revert_drift: bring back what others changed. delete_data: keys of what holds data and may go."""

    revert_drift: bool = False
    delete_data: frozenset[str] = frozenset()


NO_OPTIONS = Options()


def plan(
    desired: Sequence[Resource], found: Sequence[Found], kinds: Mapping[str, Kind], options: Options = NO_OPTIONS
) -> Plan:
    """The steps from `found` to `desired`. Raise InvalidError where there is no safe way."""
    planner = _Planner(desired, found, kinds, options)
    # Which machines would go has to be known before any of them may: only then can all but one be put off.
    waiting = quorum.put_off(desired, found, planner.going()) if desired else {}
    if waiting:
        planner = _Planner(desired, found, kinds, options, waiting)
    return planner.plan()


class _Planner:
    def __init__(
        self,
        desired: Sequence[Resource],
        found: Sequence[Found],
        kinds: Mapping[str, Kind],
        options: Options,
        waiting: Mapping[str, str] | None = None,
    ) -> None:
        self.kinds = kinds
        self.options = options
        self.waiting = waiting or {}
        self.desired = {resource.key: resource for resource in desired}
        self.world, self.doubles = unique(found)
        self.problems: list[Problem] = []
        self.drift: list[Drift] = []
        self.new: set[str] = set()  # keys that get another id: created or replaced
        self.actions: list[Action] = []
        for key in ordered({key: {ref.key for ref in own.references()} for key, own in self.desired.items()}):
            self._bring(self.desired[key])
        kept = data.kept(
            [one for key, one in self.world.items() if key not in self.desired], self.world, kinds, options.delete_data
        )
        self.problems += kept.problems
        self.kept = kept.keys
        surplus = [one for key, one in self.world.items() if key not in self.desired and key not in kept.keys]
        surplus = quorum.without_waiting(surplus, self.world, self.waiting)
        held, spare = data.apart(self.doubles, kinds, options.delete_data)
        self.held = [f"{one.key} {one.id}" for one in held]
        self.actions += [Action("delete", one.key, found=one) for one in (*surplus, *spare)]

    def going(self) -> frozenset[str]:
        """Keys of all that would be deleted, for good or to be made anew."""
        return frozenset(
            action.key
            for action in self.actions
            if action.verb == "delete" and action.found is self.world.get(action.key)
        )

    def plan(self) -> Plan:
        if self.problems:
            raise InvalidError(self.problems)
        return Plan(
            actions=self._connected(),
            drift=tuple(self.drift),
            kept=tuple(sorted([*self.kept, *self.held])),
            deferred=tuple(sorted(self.waiting.items())),
            fingerprint=fingerprint.of(self.desired.values(), (*self.world.values(), *self.doubles), self.options),
        )

    def _bring(self, wanted: Resource) -> None:
        """Decide about one wanted resource. All that it refers to has been decided before."""
        found = self.world.get(wanted.key)
        if found is None:
            self.new.add(wanted.key)
            self.actions.append(Action("create", wanted.key, wanted=wanted))
            return
        changes = self._changes(wanted, found)
        kind = self.kinds[wanted.kind]
        if wanted.key in self.waiting:
            return
        if not changes:
            if kind.mutable and not self._drifted(wanted) and outdated(found.stamp, _compared(wanted, kind)):
                self.actions.append(Action("update", wanted.key, found=found, wanted=wanted))
            return
        fixed = [change for change in changes if change.field not in kind.mutable]
        shrinking = [one for one in changes if one.field in kind.growing and one.before and one.after < one.before]
        if shrinking:
            self.problems += [
                Problem(
                    wanted.key,
                    f"{one.field} is {one.before}, and the description wants {one.after}",
                    f"{one.before} or more: it can only grow",
                    wanted.change or "the description",
                )
                for one in shrinking
            ]
        elif not fixed:
            self.actions.append(Action("update", wanted.key, found=found, wanted=wanted, changes=changes))
        elif kind.replaceable:
            self.new.add(wanted.key)
            self.actions.append(Action("delete", wanted.key, found=found, changes=changes, replaces=True))
            self.actions.append(Action("create", wanted.key, wanted=wanted, changes=changes, replaces=True))
        else:
            self.problems += [
                Problem(
                    wanted.key,
                    f"{change.field} is {change.before!r}, and the description wants {change.after!r}",
                    f"{change.before!r}: it cannot be changed while the {kind.name} exists",
                    wanted.change or "the description",
                )
                for change in fixed
            ]

    def _changes(self, wanted: Resource, found: Found) -> tuple[Change, ...]:
        """What differs and is to be changed. What others changed is noted as drift and left, unless asked for."""
        kind = self.kinds[wanted.kind]
        staying = {key: one for key, one in self.world.items() if key not in self.new}
        compared = _compared(wanted, kind)
        as_made = unchanged(found.stamp, compared)
        changes = []
        for name, value in sorted(compared.items()):
            after = kind.normal(name, resolved(value, staying))
            before = kind.normal(name, found.properties.get(name))
            if before == after:
                continue
            change = Change(name, before, after)
            # A reference to what is only being made is a consequence of this very plan.
            ours = any(ref.key in self.new for ref in references(value))
            if name in as_made and not ours and not self.options.revert_drift:
                self.drift.append(Drift(wanted.key, change))
            else:
                changes.append(change)
        return tuple(changes)

    def _drifted(self, wanted: Resource) -> bool:
        return any(drift.key == wanted.key for drift in self.drift)

    def _connected(self) -> tuple[Action, ...]:
        """The actions with what each of them has to wait for, in an order in which they could be done one by one."""
        after = closure({name: kind.needs for name, kind in self.kinds.items()})
        makers = {action.key: action.id for action in self.actions if action.verb != "delete"}
        connected = {}
        for action in self.actions:
            needs: set[str] = set()
            if action.verb == "delete":
                needs = {
                    other.id
                    for other in self.actions
                    if action.key.split("/")[0] in after[other.key.split("/")[0]]
                    # What refers to it goes before it, and what lets go of it, unless that waits for its successor.
                    and (other.verb == "delete" or (other.verb == "update" and not action.replaces))
                }
            elif action.wanted:
                needs = {makers[ref.key] for ref in action.wanted.references() if ref.key in makers}
                if action.replaces:
                    needs |= {one.id for one in self.actions if one.verb == "delete" and one.key == action.key}
            connected[action.id] = replace(action, needs=frozenset(needs))
        return tuple(connected[id] for id in ordered({id: one.needs for id, one in connected.items()}))


def _compared(wanted: Resource, kind: Kind) -> dict[str, Any]:
    return {name: value for name, value in wanted.properties.items() if name not in kind.create_only}


def unique(found: Sequence[Found]) -> tuple[dict[str, Found], list[Found]]:
    """One resource for each key, and the doubles that an interrupted run left: unfinished ones, then younger ones."""
    world: dict[str, Found] = {}
    doubles = []
    for one in sorted(found, key=lambda one: (one.key, not one.stamp, one.created, one.id)):
        if one.key in world:
            doubles.append(one)
        else:
            world[one.key] = one
    return world, doubles
