# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster is told about its infrastructure: one schema for all providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .model import Found
from .spec import Spec


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
    """endpoint: {host, port, mode, address}. buckets: [{name, bucket, region, endpoint, versioning, lock_days}], with
    protocol and account where it is not S3.

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


def gathered(
    provider: str,
    spec: Spec,
    world: Mapping[str, Found],
    *,
    address: str,
    bucket: Callable[[Found], Mapping[str, Any]],
    identity: Callable[[Found], Mapping[str, str]],
    **own: Any,
) -> Outputs:
    """The outputs of a provider with a load balancer: what all tell alike, and what it says of its own.

    `address` is the balancer's. `bucket` gives {bucket, region, endpoint} of a bucket, and `identity` {kind, ref} of an
    identity. `own`: storage_classes, cloud_controller and mtu.
    """
    found = machines(world)
    ordered = sorted(world.values(), key=lambda one: one.key)
    return Outputs(
        provider=provider,
        cluster=spec.name,
        infra_id=spec.infra_id,
        uid=spec.uid,
        endpoint={
            "host": spec.endpoint.host,
            "port": spec.endpoint.port,
            "mode": "balancer",
            "address": address,
        },
        failure_domains=tuple(sorted({machine.failure_domain for machine in found if machine.failure_domain})),
        machines=found,
        buckets=tuple(
            {
                "name": one.name,
                **bucket(one),
                "versioning": one.properties["versioning"],
                "lock_days": one.properties["lock_days"],
            }
            for one in ordered
            if one.kind == "bucket"
        ),
        dns={"zone": spec.dns.zone, "provider": provider} if spec.dns.manage else {},
        identities=tuple(
            {"name": one.name, **identity(world[f"identity/{one.name}"]), "pools": list(one.pools)}
            for one in spec.identities
            if f"identity/{one.name}" in world
        ),
        keys=tuple({"name": one.name, "ref": one.id} for one in ordered if one.kind == "key"),
        **own,
    )
