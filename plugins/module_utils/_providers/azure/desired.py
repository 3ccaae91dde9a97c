# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the description to the resources that Azure should have. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..model import Ref, Resource
from ..spec import Disk, Pool, Spec
from ..user_data import cloud_config
from .roles import grants
from .settings import NativeNetwork, NativePool, Settings
from .sizes import image, vm_size

CLUSTER_ROLES = frozenset({"etcd", "control_plane", "worker"})
ANYBODY = ["*"]
# Where the load balancer's questions come from, in Azure's words.
PROBES = ["AzureLoadBalancer"]
# Rules are asked in the order of their priorities. The last ones stand before Azure's own, which let everybody of the
# virtual network in.
FIRST, STEP, PROBE, LAST = 100, 10, 4095, 4096


class Desired:
    """zones: those to use, none in a region without any. zone_id: the DNS zone's id, empty where there is none."""

    def __init__(self, spec: Spec, settings: Settings, zones: Sequence[str], zone_id: str = "") -> None:
        self.spec = spec
        self.settings = settings
        self.zones = list(zones)
        self.zone_id = zone_id
        self.native = NativeNetwork.read(spec, [])
        self.managed = spec.network.mode == "managed"
        # A group that the settings name is not the cluster's: its id stands where the reference to an own one would.
        self.group: Any = settings.group_id(spec.infra_id) if settings.resource_group else Ref("group/main")

    def resources(self) -> list[Resource]:
        return [
            *(() if self.settings.resource_group else self.own_group()),
            *(self.network() if self.managed else ()),
            *self.firewall(),
            *self.storage(),
            *self.identities(),
            *self.balancer(),
            *self.machines(),
        ]

    def make(self, kind: str, name: str, own: dict[str, Any], change: str) -> Resource:
        return Resource(kind, name, {"group": self.group, **own}, change)

    def own_group(self) -> Iterator[Resource]:
        yield Resource("group", "main", {"location": self.settings.location}, "infrastructure_settings.location")

    # -- the network ---------------------------------------------------------------------------------------

    @property
    def subnet(self) -> Any:
        return Ref("network/main", "subnet_id") if self.managed else self.native.subnet_id.lower()

    def address(self, name: str, change: str) -> Resource:
        return self.make("address", name, {"zones": self.zones}, change)

    def network(self) -> Iterator[Resource]:
        spec, change = self.spec, "infrastructure_network"
        nat = spec.network.egress == "nat"
        if nat:
            yield self.address("nat", f"{change}.egress")
            yield self.make("nat", "main", {"address": Ref("address/nat")}, f"{change}.egress")
        cidr = str(ipaddress.ip_network(spec.network.cidr))
        own = {"cidr": cidr, "subnet": cidr, "nat": Ref("nat/main") if nat else None}
        yield self.make("network", "main", own, f"{change}.cidr")

    def firewall(self) -> Iterator[Resource]:
        """One group for each pool, with what the port table has for the pool's roles."""
        for pool in self.spec.pools:
            yield self.make("security_group", pool.name, {"rules": self.rules(pool)}, "the port table")

    def rules(self, pool: Pool) -> list[list[Any]]:
        roles = {*pool.roles, *({"cluster"} if set(pool.roles) & CLUSTER_ROLES else ())}
        allowed = [
            (_name(port.name), port.protocol, _range(port.first, port.last), sorted(port.sources))
            for port in self.spec.ports
            if roles & set(port.roles) and port.protocol != "vrrp" and port.sources
        ]
        endpoint = self.spec.endpoint
        if "control_plane" in roles and endpoint.allow:
            allowed.append(("endpoint", "tcp", str(endpoint.port), sorted(endpoint.allow)))
        allowed.append(("icmp", "icmp", "*", ANYBODY))
        rules: list[list[Any]] = [
            # Rules of one group have names of their own; a port may be there for two protocols.
            [FIRST + STEP * number, f"{name}-{number}", protocol, ports, sources]
            for number, (name, protocol, ports, sources) in enumerate(sorted(allowed))
        ]
        if "control_plane" in roles:
            rules.append([PROBE, "probes", "tcp", str(endpoint.port), PROBES])
        return [*rules, [LAST, "others", "deny *", "*", ANYBODY]]

    # -- what keeps data, and who may use it -----------------------------------------------------------------

    def storage(self) -> Iterator[Resource]:
        spec = self.spec
        if spec.keys:
            yield self.make("vault", "main", {"closed": True}, "infrastructure_keys")
        for key in spec.keys:
            own = {"vault": Ref("vault/main"), "rotation": True, "granted": True}
            yield self.make("key", key.name, own, "infrastructure_keys")
        for bucket in spec.buckets:
            lock = {"lockable": bucket.lock_days > 0, "lock_days": bucket.lock_days}
            redundancy = "Standard_ZRS" if self.zones else "Standard_LRS"
            own = {"versioning": bucket.versioning, "container": True, "closed": True, "redundancy": redundancy, **lock}
            yield self.make("bucket", bucket.name, own, "infrastructure_buckets")

    def identities(self) -> Iterator[Resource]:
        for identity in self.spec.identities:
            yield self.make("identity", identity.name, {}, "infrastructure_identities")
            principal = Ref(f"identity/{identity.name}", "principal_id")
            for name, role, scope in grants(self.spec, identity, self.group, self.zone_id):
                yield self.grant(name, scope, role, principal)

    @staticmethod
    def grant(name: str, scope: Any, role: str, principal: Ref) -> Resource:
        own = {"scope": scope, "role": role, "principal": principal}
        return Resource("grant", name, own, "infrastructure_identities")

    # -- machines --------------------------------------------------------------------------------------------

    def machines(self) -> Iterator[Resource]:
        for pool in self.spec.pools:
            for number, name in enumerate(pool.machines()):
                zone = pool.failure_domain(self.zones, number)
                yield from self.interface(name, pool)
                yield self.machine(name, pool, zone)
                yield from self.volumes(name, pool, zone)

    def interface(self, name: str, pool: Pool) -> Iterator[Resource]:
        change = f"infrastructure_pools[{pool.name}]"
        direct = self.managed and self.spec.network.egress == "direct"
        if direct:
            yield self.address(name, "infrastructure_network.egress")
        own = {
            "subnet": self.subnet,
            "security_group": Ref(f"security_group/{pool.name}"),
            "address": Ref(f"address/{name}") if direct else None,
            "pools": [Ref("balancer/api", "pool_id")] if "control_plane" in pool.roles else [],
        }
        yield self.make("interface", name, own, change)

    def machine(self, name: str, pool: Pool, zone: str) -> Resource:
        spec, native = self.spec, NativePool.read(pool, [])
        identity = spec.identity_of(pool)
        own = {
            "pool": pool.name,
            "roles": sorted(pool.roles),
            "image": native.image_id or "/".join(native.image or ()) or str(pool.image),
            "root_disk": self.root_disk(pool.root_disk),
            "failure_domain": zone,
            "size": native.vm_size or vm_size(pool.cpu, pool.memory_gib, pool.architecture),
            "preemptible": pool.preemptible,
            "interface": Ref(f"interface/{name}"),
            "identity": Ref(f"identity/{identity.name}") if identity else None,
            "running": True,
            "user_data": cloud_config(name, spec.access),
            "authorized_keys": list(spec.access.authorized_keys),
            "image_reference": self.image(pool),
            "disk_key": self.disk_key(pool.root_disk),
        }
        return self.make("machine", name, own, f"infrastructure_pools[{pool.name}]")

    def image(self, pool: Pool) -> dict[str, str]:
        native = NativePool.read(pool, [])
        if native.image_id:
            return {"id": native.image_id}
        publisher, offer, sku = native.image or image(pool) or ("", "", "")
        return {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"}

    def root_disk(self, disk: Disk) -> str:
        key = self.spec.disk_key.name if self.spec.disk_key and disk.encrypted else "platform"
        return f"{disk.size_gib} {disk.storage} {key}"

    def disk_key(self, disk: Disk) -> Ref | None:
        return Ref(f"key/{self.spec.disk_key.name}") if disk.encrypted and self.spec.disk_key else None

    def volumes(self, machine: str, pool: Pool, zone: str) -> Iterator[Resource]:
        for number, disk in enumerate(pool.data_disks):
            own = {
                "size_gib": disk.size_gib,
                "storage": disk.storage,
                "failure_domain": zone,
                "key": self.disk_key(disk),
                "attached_to": Ref(f"machine/{machine}"),
                "lun": number,
            }
            yield self.make("volume", f"{machine}-{disk.name}", own, f"infrastructure_pools[{pool.name}].data_disks")

    # -- the endpoint ----------------------------------------------------------------------------------------

    def balancer(self) -> Iterator[Resource]:
        endpoint, change = self.spec.endpoint, "infrastructure_endpoint"
        if "control_plane" not in self.spec.roles:
            return
        if endpoint.public:
            yield self.address("api", change)
        own = {
            "address": Ref("address/api") if endpoint.public else None,
            "subnet": None if endpoint.public else self.subnet,
            "port": endpoint.port,
            "health_path": "/readyz",
        }
        yield self.make("balancer", "api", own, change)
        if self.spec.dns.manage:
            value = Ref("address/api", "ip") if endpoint.public else Ref("balancer/api", "ip")
            yield Resource("record", "api", {"values": [value]}, "infrastructure_dns")


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
