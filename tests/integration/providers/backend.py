# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the contract's tests ask of a provider's stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.caravan.cluster.plugins.module_utils._providers.base import Strategy
from traffic import Traffic


@dataclass(frozen=True)
class Drifted:
    """Somebody else changes one property of one resource. `change` does it, at the server and not through us.

    lasting: nobody can change it back.
    """

    key: str
    field: str
    change: Callable[[], object]
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.key} {self.field}"


def portable(zone: str, name: str, *, grants: Sequence[str], **changes: Any) -> dict[str, Any]:
    """One machine with etcd and the control plane, one worker with a data disk, and all else that there is."""
    disk = {"size_gib": 20}
    masters = {"name": "cp", "roles": ["etcd", "control_plane"], "count": 1, "cpu": 2, "memory_gib": 4}
    workers = {"name": "worker", "roles": ["worker"], "count": 1, "cpu": 2, "memory_gib": 8}
    data = [{"name": "data", "size_gib": 100}]
    nodes = {"sources": ["10.0.0.0/16"], "protocol": "tcp"}
    return {
        "name": name,
        "endpoint": {"host": f"api.{name}.{zone}"},
        "network": {"cidr": "10.0.0.0/16"},
        "dns": {"zone": zone},
        "buckets": [{"name": "backup", "lock_days": 3}],
        "keys": [{"name": "disks"}],
        "identities": [{"name": "nodes", "pools": ["cp"], "grants": list(grants)}],
        "pools": [{**masters, "root_disk": disk}, {**workers, "root_disk": disk, "data_disks": data}],
        "access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
        "ports": [
            {"name": "etcd", "first": 2379, "last": 2380, "roles": ["etcd"], **nodes},
            {"name": "ssh", "first": 22, "roles": ["cluster"], "protocol": "tcp", "sources": ["192.0.2.0/24"]},
        ],
        **changes,
    }


class Backend(Protocol):
    """fixed: `kind.field` of all that is compared and that nobody can change while the resource exists."""

    traffic: Traffic
    fixed: frozenset[str]

    def description(self, name: str = "demo", **changes: Any) -> dict[str, Any]:
        """The portable description, with what is the provider's own."""

    def strategy(self, description: dict[str, Any]) -> Strategy:
        """Pointed at the stand-in."""

    def everything(self) -> frozenset[str]:
        """The ids of all resources of the account, whosoever they are."""

    def drifts(self, engine: Any) -> Sequence[Drifted]:
        """One for each property that others can change. `engine` has observed what is there."""

    def reset(self) -> None:
        """An account with nothing in it but what an account comes with."""

    def stop(self) -> None: ...


def twin_of(backend: Backend) -> dict[str, Any]:
    """Another cluster of the same name, in the same place: what tells them apart is the endpoint.

    A backend where two networks may not have the same addresses has a `twin` of its own.
    """
    if hasattr(backend, "twin"):
        own: dict[str, Any] = backend.twin()
        return own
    twin = backend.description()
    return {**twin, "endpoint": {**twin["endpoint"], "host": "api." + twin["endpoint"]["host"]}}
