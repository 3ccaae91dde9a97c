# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted, what is there, and the steps between: plain data that every strategy shares.

A resource is told by its key, `<kind>/<name>`, for instance `machine/worker-1`. Names are the cluster's own, not the
provider's: the provider's id is known only once the resource exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Properties of resources are data as JSON knows it, and references. They are compared as they are, so a list whose
# order means nothing is sorted by whoever makes it.
Properties = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Ref:
    """Something of another resource that may not exist yet: its id, or one of its `details`."""

    key: str
    attribute: str = "id"

    def __str__(self) -> str:
        return f"<{self.key}>" if self.attribute == "id" else f"<{self.key} {self.attribute}>"


@dataclass(frozen=True)
class Kind:
    """What the planner has to know of one kind of resource.

    needs: kinds that have to be there before and to go after it. The order of deletion follows from these.
    mutable: properties that can be changed in place. A change in any other one replaces the resource.
    create_only: properties that matter at creation alone, such as user data. They are never compared.
    unordered: properties that are lists in no order.
    loose: properties that may come to point at nothing while the resource stays (what a volume is attached to).
    growing: mutable properties that are numbers and can only become larger (the size of a disk).
    keeps_data: never deleted unless the user names it.
    replaceable: False where a replacement would take everything with it (a network): such a difference is an error.
    """

    name: str
    needs: tuple[str, ...] = ()
    mutable: frozenset[str] = frozenset()
    create_only: frozenset[str] = frozenset()
    unordered: frozenset[str] = frozenset()
    loose: frozenset[str] = frozenset()
    growing: frozenset[str] = frozenset()
    keeps_data: bool = False
    replaceable: bool = True

    def normal(self, name: str, value: Any) -> Any:
        """A property's value as it is compared: lists in no order are sorted, once references are ids."""
        return sorted(value, key=str) if name in self.unordered and isinstance(value, list) else value


@dataclass(frozen=True)
class Resource:
    """A wanted resource. `change` is the variable that decides about it, for messages.

    Handlers get it with its references resolved, and with the stamp to write in their last call.
    """

    kind: str
    name: str
    properties: Properties
    change: str = ""
    stamp: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"

    def references(self) -> frozenset[Ref]:
        return frozenset(references(self.properties))


@dataclass(frozen=True)
class Found:
    """A resource that exists and is the cluster's own.

    properties: as the provider has them, named and normalised as in Resource, except create_only ones.
    stamp: what stamp.py wrote when the resource was last finished; empty where it never was.
    details: what outputs and calls need beside (addresses, ARNs, ...). Not compared.
    created: a time that sorts, to tell an older duplicate from a younger one.
    """

    kind: str
    name: str
    id: str
    properties: Properties
    stamp: str = ""
    details: Properties = field(default_factory=dict)
    created: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"

    def attribute(self, name: str) -> Any:
        return self.id if name == "id" else self.details.get(name)


@dataclass(frozen=True)
class Change:
    """One property that differs. `before` is None for what is new, `after` for what goes."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Action:
    """One step. `needs` are the ids of the steps that have to be done before."""

    verb: str  # create, update, delete
    key: str
    found: Found | None = None
    wanted: Resource | None = None
    changes: tuple[Change, ...] = ()
    needs: frozenset[str] = frozenset()
    replaces: bool = False  # half of a replacement

    @property
    def id(self) -> str:
        # Two resources of one key can exist after an interrupted run: the provider's id tells their deletions apart.
        return f"{self.verb} {self.key} {self.found.id}" if self.verb == "delete" and self.found else self.label

    @property
    def label(self) -> str:
        return f"{self.verb} {self.key}"


@dataclass(frozen=True)
class Drift:
    """A difference that others made: it was as wanted when Caravan last touched it."""

    key: str
    change: Change


@dataclass(frozen=True)
class Plan:
    """drift: seen and left. kept: data that stays. deferred: steps for a later run, with the reason."""

    actions: tuple[Action, ...] = ()
    drift: tuple[Drift, ...] = ()
    kept: tuple[str, ...] = ()
    deferred: tuple[tuple[str, str], ...] = ()
    fingerprint: str = ""

    def __bool__(self) -> bool:
        return bool(self.actions)


def references(value: Any) -> Iterator[Ref]:
    """All references inside of a value."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)


def resolved(value: Any, world: Mapping[str, Found]) -> Any:
    """`value` with the references to what exists replaced by their values. The others stay references."""
    if isinstance(value, Ref):
        return world[value.key].attribute(value.attribute) if value.key in world else value
    if isinstance(value, Mapping):
        return {name: resolved(item, world) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolved(item, world) for item in value]
    return value


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: references as text."""
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
