# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the description to the resources that OpenStack should have. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..model import Ref, Resource
from ..spec import Disk, Pool, Spec
from ..user_data import cloud_config
from .settings import NativeNetwork, NativePool, Settings

CLUSTER_ROLES = frozenset({"etcd", "control_plane", "worker"})
POLICIES = {"soft": "soft-anti-affinity", "hard": "anti-affinity"}


class Desired:
    """zones: availability zones to use. volume_zones: Cinder's by Nova's. external: the id of the network outside."""

    def __init__(
        self,
        spec: Spec,
        settings: Settings,
        zones: Sequence[str],
        volume_zones: Mapping[str, str],
        external: str,
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.zones = list(zones)
        self.volume_zones = volume_zones
        self.external = external
        self.native = NativeNetwork.read(spec, [])
        self.managed = spec.network.mode == "managed"

    def resources(self) -> list[Resource]:
        return [
            *(self.network() if self.managed else ()),
            *self.firewall(),
            *self.endpoint(),
            *self.machines(),
            *self.record(),
        ]

    # -- the network -------------------------------------------------------------------------------------------

    @property
    def subnet(self) -> Any:
        return Ref("subnet/main") if self.managed else self.native.subnet_id

    def network(self) -> Iterator[Resource]:
        spec, change = self.spec, "infrastructure_network"
        yield Resource("network", "main", {"up": True}, change)
        own = {
            "network": Ref("network/main"),
            "cidr": spec.network.cidr,
            "dhcp": True,
            "dns_servers": list(self.settings.dns_servers),
        }
        yield Resource("subnet", "main", own, f"{change}.cidr")
        if leads_out(spec):
            way = {"external": self.external, "subnets": [Ref("subnet/main")]}
            yield Resource("router", "main", way, f"{change}.egress")

    def firewall(self) -> Iterator[Resource]:
        """One group for each role, and `cluster` for all nodes, as the port table has them."""
        roles = self.spec.roles
        for group in sorted(roles | ({"cluster"} if roles & CLUSTER_ROLES else set())):
            yield Resource("security_group", group, {"ingress": self.rules(group)}, "the port table")

    def rules(self, group: str) -> list[list[Any]]:
        found: set[tuple[Any, ...]] = {("icmp", None, None, "0.0.0.0/0")}
        for port in self.spec.ports:
            if group in port.roles:
                ports = (None, None) if port.protocol == "vrrp" else (port.first, port.last)
                found |= {(port.protocol, *ports, network) for network in port.sources}
        if group == "control_plane":
            endpoint = self.spec.endpoint
            found |= {("tcp", endpoint.port, endpoint.port, network) for network in endpoint.allow}
        return sorted((list(rule) for rule in found), key=str)

    def floating_ip(self, name: str, change: str) -> Resource:
        own = {
            "external": self.external,
            "port": Ref(f"port/{name}"),
            "router": Ref("router/main") if self.managed else None,
        }
        return Resource("floating_ip", name, own, change)

    # -- the endpoint ------------------------------------------------------------------------------------------

    @property
    def vip(self) -> bool:
        return self.spec.endpoint.mode in ("auto", "vip") and "control_plane" in self.spec.roles

    def endpoint(self) -> Iterator[Resource]:
        """An address that the machines of the control plane pass on among themselves: a port keeps it free for them."""
        change = "infrastructure_endpoint"
        if self.vip:
            own = {"subnet": self.subnet, "security_groups": [Ref("security_group/control_plane")], "shared": []}
            yield Resource("port", "api", own, change)
            if self.spec.endpoint.public:
                yield self.floating_ip("api", f"{change}.public")

    def record(self) -> Iterator[Resource]:
        """The endpoint's name, for the address that clients come to."""
        masters = [name for name, pool in self.spec.machines() if "control_plane" in pool.roles]
        if self.spec.dns.manage and masters:
            kind = "floating_ip" if self.spec.endpoint.public else "port"
            values = [Ref(f"{kind}/{name}", "address") for name in (["api"] if self.vip else masters)]
            own = {"name": self.spec.endpoint.host, "values": values}
            yield Resource("record", "api", own, "infrastructure_dns")

    # -- machines ----------------------------------------------------------------------------------------------

    def machines(self) -> Iterator[Resource]:
        for pool in self.spec.pools:
            if pool.spread in POLICIES:
                own = {"policy": POLICIES[pool.spread]}
                yield Resource("server_group", pool.name, own, f"infrastructure_pools[{pool.name}].spread")
            for number, name in enumerate(pool.machines()):
                zone = pool.failure_domain(self.zones, number)
                yield from self.port(name, pool)
                yield self.machine(name, pool, zone)
                yield from self.volumes(name, pool, zone)

    def port(self, name: str, pool: Pool) -> Iterator[Resource]:
        groups = [*pool.roles, *(["cluster"] if set(pool.roles) & CLUSTER_ROLES else [])]
        own = {
            "subnet": self.subnet,
            "security_groups": [Ref(f"security_group/{group}") for group in sorted(groups)],
            "shared": [Ref("port/api", "address")] if self.vip and "control_plane" in pool.roles else [],
        }
        yield Resource("port", name, own, f"infrastructure_pools[{pool.name}]")
        if self.managed and self.spec.network.egress == "direct":
            yield self.floating_ip(name, "infrastructure_network.egress")

    def machine(self, name: str, pool: Pool, zone: str) -> Resource:
        native = NativePool.read(pool, [])
        size = {"cpu": pool.cpu, "memory_gib": pool.memory_gib}
        image = {"os": pool.image.os, "version": pool.image.version, "architecture": pool.architecture}
        own = {
            "pool": pool.name,
            "roles": sorted(pool.roles),
            "image": native.image or str(pool.image),
            "root_disk": f"{pool.root_disk.size_gib} {self.volume_type(pool.root_disk)}",
            "failure_domain": zone,
            "size": native.flavor or f"{pool.cpu} CPUs, {pool.memory_gib} GiB",
            "port": Ref(f"port/{name}"),
            "running": True,
            "failed": False,
            "server_group": Ref(f"server_group/{pool.name}") if pool.spread in POLICIES else None,
            "flavor": {"name": native.flavor} if native.flavor else size,
            "source": {"name": native.image} if native.image else image,
            "user_data": cloud_config(name, self.spec.access),
        }
        return Resource("machine", name, own, f"infrastructure_pools[{pool.name}]")

    def volume_type(self, disk: Disk) -> str:
        return self.settings.volume_type(disk)

    def volumes(self, machine: str, pool: Pool, zone: str) -> Iterator[Resource]:
        for disk in pool.data_disks:
            own = {
                "size_gib": disk.size_gib,
                "type": self.volume_type(disk),
                "encrypted": disk.encrypted,
                "failure_domain": self.volume_zones.get(zone, zone),
                "attached_to": Ref(f"machine/{machine}"),
            }
            yield Resource("volume", f"{machine}-{disk.name}", own, f"infrastructure_pools[{pool.name}].data_disks")


def leads_out(spec: Spec) -> bool:
    """Whether the network has a router to the outside."""
    return spec.network.egress != "none"
