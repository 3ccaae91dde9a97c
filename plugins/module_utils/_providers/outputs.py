# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster is told about its infrastructure: one schema for all providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .model import Found


@dataclass(frozen=True)
class Address:
    """type: InternalIP, ExternalIP, InternalDNS or Hostname, as Kubernetes calls them."""

    type: str
    value: str


@dataclass(frozen=True)
class Machine:
    """provider_id: what the kubelet's providerID has to be, or empty."""

    name: str
    pool: str
    roles: tuple[str, ...]
    id: str
    provider_id: str
    failure_domain: str
    addresses: tuple[Address, ...]
    state: str
    image: str = ""
    size: str = ""

    def address(self, *types: str) -> str:
        """The first address of the first type that it has."""
        return next((one.value for type in types for one in self.addresses if one.type == type), "")


@dataclass(frozen=True)
class Outputs:
    """endpoint: {host, port, mode, address}. buckets: [{name, bucket, region, endpoint, versioning, lock_days}].

    dns: {zone, zone_id, provider}. identities: [{name, kind, ref, pools}]. keys: [{name, ref}].
    storage_classes: [{name, provisioner, parameters}]. cloud_controller: {name, config} or empty.
    """

    provider: str
    cluster: str
    infra_id: str
    uid: str
    endpoint: Mapping[str, Any]
    failure_domains: tuple[str, ...]
    machines: tuple[Machine, ...]
    buckets: tuple[Mapping[str, Any], ...] = ()
    dns: Mapping[str, Any] = field(default_factory=dict)
    identities: tuple[Mapping[str, Any], ...] = ()
    keys: tuple[Mapping[str, Any], ...] = ()
    storage_classes: tuple[Mapping[str, Any], ...] = ()
    cloud_controller: Mapping[str, Any] = field(default_factory=dict)
    mtu: int = 0

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def machines(world: Mapping[str, Found]) -> tuple[Machine, ...]:
    """The machines in the order of their names.

    Handlers of the kind `machine` give: properties pool, roles, failure_domain, image, size; details provider_id, state
    and addresses ([{type, value}]).
    """
    return tuple(
        Machine(
            name=one.name,
            pool=one.properties["pool"],
            roles=tuple(one.properties["roles"]),
            id=one.id,
            provider_id=one.details.get("provider_id", ""),
            failure_domain=one.properties.get("failure_domain", ""),
            addresses=tuple(Address(**address) for address in one.details.get("addresses", ())),
            state=one.details.get("state", ""),
            image=one.properties.get("image", ""),
            size=one.properties.get("size", ""),
        )
        for one in sorted(world.values(), key=lambda one: one.name)
        if one.kind == "machine"
    )
