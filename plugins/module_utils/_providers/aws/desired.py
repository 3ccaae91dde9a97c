# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the description to the resources that AWS should have. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from ..model import Ref, Resource
from ..spec import Disk, Pool, Spec
from ..user_data import cloud_config
from .grants import statements
from .settings import NativeNetwork, NativePool, Settings
from .sizes import instance_type
from .volumes import DEVICES, TYPES

CLUSTER_ROLES = frozenset({"etcd", "control_plane", "worker"})
# {os: (whose images, pattern of their names)}
IMAGES = {
    "debian": ("136693071363", "debian-{version}-{architecture}-*"),
    "ubuntu": ("099720109477", "ubuntu/images/hvm-ssd*/ubuntu-*-{version}-{architecture}-server-*"),
}
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
# The network is cut into sixteen parts: the first eight for machines, the others for what has to have a public address.
PARTS, PUBLIC = 4, 8
EVERYWHERE = "0.0.0.0/0"


class Desired:
    def __init__(self, spec: Spec, settings: Settings, zones: Sequence[str]) -> None:
        self.spec = spec
        self.settings = settings
        self.zones = list(zones)
        self.native = NativeNetwork.read(spec, [])
        self.managed = spec.network.mode == "managed"
        self.nat = spec.network.egress == "nat"

    def resources(self) -> list[Resource]:
        return [
            *(self.network() if self.managed else ()),
            *self.firewall(),
            *self.storage(),
            *self.identities(),
            *self.machines(),
            *self.balancer(),
        ]

    # -- where machines are ------------------------------------------------------------------------------

    @property
    def vpc(self) -> Any:
        return Ref("vpc/main") if self.managed else self.native.vpc_id

    def subnet(self, zone: str) -> Any:
        return Ref(f"subnet/{zone}") if self.managed else (self.native.subnet_ids or {}).get(zone, "")

    def network(self) -> Iterator[Resource]:
        spec, change = self.spec, "infrastructure_network.cidr"
        parts = list(ipaddress.ip_network(spec.network.cidr).subnets(prefixlen_diff=PARTS))
        direct = spec.network.egress == "direct"
        yield Resource("vpc", "main", {"cidr": spec.network.cidr, "dns_hostnames": True}, change)
        # A public load balancer needs a way out of the network, even where the machines have none.
        open_subnets = self.nat or (spec.endpoint.public and not direct)
        if direct or open_subnets:
            yield Resource("internet_gateway", "main", {"vpc": self.vpc}, change)
        for number, zone in enumerate(self.zones):
            own = {"vpc": self.vpc, "zone": zone, "cidr": str(parts[number]), "public": direct}
            yield Resource("subnet", zone, own, change)
            if open_subnets:
                own = {"vpc": self.vpc, "zone": zone, "cidr": str(parts[PUBLIC + number]), "public": False}
                yield Resource("subnet", f"public-{zone}", own, change)
            if self.nat:
                yield Resource("elastic_ip", zone, {}, change)
                nat = {"subnet": Ref(f"subnet/public-{zone}"), "elastic_ip": Ref(f"elastic_ip/{zone}")}
                yield Resource("nat_gateway", zone, nat, change)
                yield self._routes(zone, {EVERYWHERE: Ref(f"nat_gateway/{zone}")}, [zone])
        out = {EVERYWHERE: Ref("internet_gateway/main")}
        if direct:
            yield self._routes("main", out, self.zones)
        elif open_subnets:
            yield self._routes("public", out, [f"public-{zone}" for zone in self.zones])

    def _routes(self, name: str, routes: dict[str, Any], subnets: Sequence[str]) -> Resource:
        own = {"vpc": self.vpc, "routes": routes, "subnets": [Ref(f"subnet/{subnet}") for subnet in sorted(subnets)]}
        return Resource("route_table", name, own, "infrastructure_network.egress")

    def firewall(self) -> Iterator[Resource]:
        """One group for each role, and `cluster` for all nodes, as the port table has them."""
        for role in self._groups():
            rules = [
                [port.protocol, port.first, port.last, network]
                for port in self.spec.ports
                if role in port.roles and port.protocol != "vrrp"
                for network in port.sources
            ]
            rules.append(["icmp", -1, -1, EVERYWHERE])
            unique = [list(rule) for rule in sorted({tuple(rule) for rule in rules}, key=lambda rule: str(list(rule)))]
            yield Resource("security_group", role, {"vpc": self.vpc, "ingress": unique}, "the port table")

    def _groups(self) -> list[str]:
        roles = self.spec.roles
        return sorted(roles | ({"cluster"} if roles & CLUSTER_ROLES else set()))

    # -- what keeps data, and who may use it ---------------------------------------------------------------

    def storage(self) -> Iterator[Resource]:
        for key in self.spec.keys:
            yield Resource("key", key.name, {"rotation": True}, "infrastructure_keys")
        for bucket in self.spec.buckets:
            own = {
                "versioning": bucket.versioning,
                "lockable": bucket.lock_days > 0,
                "lock_days": bucket.lock_days,
                "closed": True,
            }
            yield Resource("bucket", bucket.name, own, "infrastructure_buckets")

    def identities(self) -> Iterator[Resource]:
        for identity in self.spec.identities:
            policy = statements(self.spec, identity.grants, self.settings.region)
            yield Resource("identity", identity.name, {"policy": policy, "profile": True}, "infrastructure_identities")

    # -- machines ------------------------------------------------------------------------------------------

    def machines(self) -> Iterator[Resource]:
        for pool in self.spec.pools:
            for number, name in enumerate(pool.machines()):
                zone = pool.failure_domain(self.zones, number)
                yield self.machine(name, pool, zone)
                yield from self.volumes(name, pool, zone)

    def machine(self, name: str, pool: Pool, zone: str) -> Resource:
        spec, native = self.spec, NativePool.read(pool, [])
        groups = [*pool.roles, *(["cluster"] if set(pool.roles) & CLUSTER_ROLES else [])]
        identity = spec.identity_of(pool)
        own = {
            "pool": pool.name,
            "roles": sorted(pool.roles),
            "image": native.image_id or str(pool.image),
            "root_disk": self.root_disk(pool.root_disk),
            "failure_domain": zone,
            "size": native.instance_type or instance_type(pool.cpu, pool.memory_gib, pool.architecture),
            "preemptible": pool.preemptible,
            "subnet": self.subnet(zone),
            # Their ids are sorted once they are known.
            "security_groups": [Ref(f"security_group/{group}") for group in sorted(groups)],
            "identity": Ref(f"identity/{identity.name}") if identity else None,
            "running": True,
            "user_data": cloud_config(name, spec.access),
            "image_id": self.image(pool),
            "disk_key": self.disk_key(pool.root_disk),
        }
        return Resource("machine", name, own, f"infrastructure_pools[{pool.name}]")

    def root_disk(self, disk: Disk) -> str:
        key = self.spec.disk_key.name if self.spec.disk_key else "encrypted"
        return f"{disk.size_gib} {TYPES[disk.storage]} {key if disk.encrypted else 'plain'}"

    def disk_key(self, disk: Disk) -> Ref | None:
        return Ref(f"key/{self.spec.disk_key.name}") if disk.encrypted and self.spec.disk_key else None

    def image(self, pool: Pool) -> dict[str, Any]:
        """The parameters of `describe_images`."""
        native = NativePool.read(pool, [])
        if native.image_id:
            return {"ImageIds": [native.image_id]}
        owner, name = IMAGES[pool.image.os]
        pattern = name.format(version=pool.image.version, architecture=pool.architecture)
        filters = {"name": pattern, "architecture": ARCHITECTURES[pool.architecture], "state": "available"}
        return {
            "Owners": list(self.native.image_owners) or [owner],
            "Filters": [{"Name": key, "Values": [value]} for key, value in filters.items()],
        }

    def volumes(self, machine: str, pool: Pool, zone: str) -> Iterator[Resource]:
        for number, disk in enumerate(pool.data_disks):
            own = {
                "size_gib": disk.size_gib,
                "type": TYPES[disk.storage],
                "failure_domain": zone,
                "encrypted": disk.encrypted,
                "key": self.disk_key(disk),
                "attached_to": Ref(f"machine/{machine}"),
                "device": DEVICES[number],
            }
            yield Resource("volume", f"{machine}-{disk.name}", own, f"infrastructure_pools[{pool.name}].data_disks")

    # -- the endpoint --------------------------------------------------------------------------------------

    def balancer(self) -> Iterator[Resource]:
        spec, change = self.spec, "infrastructure_endpoint"
        masters = [name for name, pool in spec.machines() if "control_plane" in pool.roles]
        if not masters:
            return
        open_subnets = self.managed and spec.endpoint.public and spec.network.egress != "direct"
        subnets = [Ref(f"subnet/public-{zone}") if open_subnets else self.subnet(zone) for zone in self.zones]
        own = {"public": spec.endpoint.public, "subnets": subnets, "cross_zone": True}
        yield Resource("balancer", "api", own, change)
        group = {"vpc": self.vpc, "port": spec.endpoint.port, "health_path": "/readyz"}
        yield Resource("target_group", "api", group, change)
        listener = {
            "balancer": Ref("balancer/api"),
            "port": spec.endpoint.port,
            "target_group": Ref("target_group/api"),
        }
        yield Resource("listener", "api", listener, change)
        for name in masters:
            target = {"target_group": Ref("target_group/api"), "machine": Ref(f"machine/{name}")}
            yield Resource("target", name, target, change)
        if spec.dns.manage:
            alias = {"name": Ref("balancer/api", "dns_name"), "zone": Ref("balancer/api", "zone_id")}
            yield Resource("record", "api", {"alias": alias, "values": []}, "infrastructure_dns")
