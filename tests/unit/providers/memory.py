# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider in memory with the shapes that matter: a network, machines in it, what hangs on them, what holds data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._providers.base import Handler, Strategy
from ansible_collections.caravan.cluster.plugins.module_utils._providers.model import (
    Change,
    Found,
    Kind,
    Plan,
    Ref,
    Resource,
)
from ansible_collections.caravan.cluster.plugins.module_utils._providers.outputs import Outputs
from ansible_collections.caravan.cluster.plugins.module_utils._providers.spec import Spec

KINDS = {
    kind.name: kind
    for kind in (
        Kind("network", replaceable=False),
        Kind("key", keeps_data=True, replaceable=False),
        Kind(
            "machine",
            needs=("network",),
            mutable=frozenset({"labels"}),
            create_only=frozenset({"user_data"}),
        ),
        Kind(
            "volume",
            needs=("machine", "key"),
            mutable=frozenset({"attached_to", "size_gib"}),
            loose=frozenset({"attached_to"}),
            growing=frozenset({"size_gib"}),
            keeps_data=True,
            replaceable=False,
        ),
        Kind("target", needs=("machine",)),
    )
}

DESCRIPTION: dict[str, Any] = {
    "name": "demo",
    "endpoint": {"host": "api.demo.example.org"},
    "network": {"cidr": "10.0.0.0/16"},
    "keys": [{"name": "disks"}],
    "pools": [
        {
            "name": "cp",
            "roles": ["etcd", "control_plane"],
            "count": 3,
            "cpu": 2,
            "memory_gib": 4,
            "root_disk": {"size_gib": 20},
        },
        {
            "name": "worker",
            "roles": ["worker"],
            "count": 2,
            "cpu": 4,
            "memory_gib": 8,
            "root_disk": {"size_gib": 40},
            "data_disks": [{"name": "data", "size_gib": 100}],
        },
    ],
}


def desired(spec: Spec) -> list[Resource]:
    wanted = [
        Resource("network", "main", {"cidr": spec.network.cidr}, change="infrastructure_network.cidr"),
        *(Resource("key", key.name, {}) for key in spec.keys),
    ]
    for name, pool in spec.machines():
        machine = {
            "pool": pool.name,
            "roles": sorted(pool.roles),
            "size": f"{pool.cpu}x{pool.memory_gib}",
            "network": Ref("network/main"),
            "labels": dict(pool.labels),
            "user_data": "#cloud-config",
        }
        wanted.append(Resource("machine", name, machine))
        for disk in pool.data_disks:
            volume = {
                "size_gib": disk.size_gib,
                "key": Ref(f"key/{spec.disk_key.name}") if spec.disk_key else None,
                "attached_to": Ref(f"machine/{name}"),
            }
            wanted.append(Resource("volume", f"{name}-{disk.name}", volume))
        if "control_plane" in pool.roles:
            wanted.append(Resource("target", name, {"machine": Ref(f"machine/{name}")}))
    return wanted


class Memory:
    """What the provider holds, by id, and every call that changed something. `before` may raise in place of a call."""

    def __init__(self) -> None:
        self.held: dict[str, Found] = {}
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda call: None
        self._numbers = itertools.count(1)

    def call(self, what: str) -> None:
        self.before(what)
        self.calls.append(what)

    def number(self) -> int:
        return next(self._numbers)


class MemoryHandler(Handler):
    def __init__(self, kind: Kind, memory: Memory) -> None:
        self.kind = kind  # type: ignore[misc]
        self.memory = memory

    def observe(self) -> list[Found]:
        return [one for one in self.memory.held.values() if one.kind == self.kind.name]

    def create(self, wanted: Resource, token: str) -> Found:
        self.memory.call(f"create {wanted.key}")
        number = self.memory.number()
        compared = {name: value for name, value in wanted.properties.items() if name not in self.kind.create_only}
        made = Found(
            wanted.kind, wanted.name, f"{wanted.kind}-{number:04}", compared, wanted.stamp, created=f"{number:04}"
        )
        self.memory.held[made.id] = made
        return made

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        self.memory.call(f"update {wanted.key}")
        changed = {change.field: wanted.properties[change.field] for change in changes}
        updated = replace(found, properties={**found.properties, **changed}, stamp=wanted.stamp)
        self.memory.held[found.id] = updated
        return updated

    def delete(self, found: Found) -> None:
        self.memory.call(f"delete {found.key}")
        del self.memory.held[found.id]
        for one in list(self.memory.held.values()):
            if one.properties.get("attached_to") == found.id:
                self.memory.held[one.id] = replace(one, properties={**one.properties, "attached_to": None})


class MemoryStrategy(Strategy):
    NAME = "memory"
    CAPABILITIES = frozenset({"key", "volume"})

    def __init__(self, spec: Spec, memory: Memory) -> None:
        super().__init__(spec, {})
        self.memory = memory

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> list[Any]:
        return []

    def validate(self) -> list[Any]:
        return []

    def connect(self) -> list[Any]:
        return []

    def failure_domains(self) -> tuple[str, ...]:
        return ()

    def handlers(self) -> Mapping[str, Handler]:
        return {name: MemoryHandler(kind, self.memory) for name, kind in KINDS.items()}

    def desired(self, failure_domains: Sequence[str]) -> list[Resource]:
        return desired(self.spec)

    def preflight(self, plan: Plan) -> list[Any]:
        return []

    def outputs(self, world: Mapping[str, Found]) -> Outputs:
        raise NotImplementedError
