# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local machines: podman containers on the controller, on a bridge of their own. For trying out and for tests."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ..._podman.client import Podman
from .. import capabilities
from ..base import Handler, Strategy
from ..errors import Problem, ProviderError
from ..model import Found, Plan, Ref, Resource
from ..outputs import Outputs, machines
from ..reader import nearest
from ..spec import Disk, Image, Pool, Spec
from . import addresses
from .api import Api
from .machines import Machine, newest_image
from .network import Network, Volume
from .settings import Settings

DOMAIN = "local"
MIRROR_MACHINE = "mirror-1"


class Local(Strategy):
    NAME = "local"
    CAPABILITIES = frozenset({capabilities.VOLUME})
    FALLBACKS: ClassVar[Mapping[str, str]] = {
        capabilities.DNS: "/etc/hosts on every node, which the cluster's roles write",
        capabilities.BUCKET: "machines with the role object_store",
        capabilities.BUCKET_LOCK: "the lock of that S3 server",
        capabilities.IDENTITY: "credentials of yours, in the variables of the roles that need them",
        capabilities.KEY: "nothing: disks are directories of the controller",
    }

    def __init__(self, spec: Spec, settings: Mapping[str, Any]) -> None:
        self.own = Settings.read(settings, [])
        super().__init__(_with_mirror(spec, self.own), settings)
        self.api = Api(Podman(self.own.containers_conf), self.ownership)
        self._addresses: dict[str, str] = {}

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> list[Problem]:
        found: list[Problem] = []
        Settings.read(settings, found)
        return found

    def validate(self) -> list[Problem]:
        spec, found = self.spec, []
        network = ipaddress.ip_network(spec.network.cidr)
        if network.version != 4 or network.prefixlen > 27:
            wanted = "an IPv4 network with a prefix of /27 at most"
            found.append(Problem("network", f"cidr is {network}", wanted, "infrastructure_network.cidr"))
        room = network.num_addresses - addresses.FIRST - 2
        if len(spec.machines()) > room:
            wanted = f"{room} at most, which is what {network} has room for"
            found.append(Problem("pools", f"{len(spec.machines())} machines", wanted, "infrastructure_pools[].count"))
        if self.own.vip and ipaddress.ip_address(self.own.vip) not in network:
            wanted = f"an address in infrastructure_network.cidr ({network})"
            found.append(Problem("settings", f"vip is {self.own.vip}", wanted, "infrastructure_settings.vip"))
        if spec.network.mode != "managed":
            found.append(Problem("network", "mode is 'existing'", "managed", "infrastructure_network.mode"))
        return found + [
            Problem("failure domains", f"has {zone!r}", nearest(zone, [DOMAIN]), "infrastructure_failure_domains")
            for zone in spec.failure_domains
            if zone != DOMAIN
        ]

    def connect(self) -> list[Problem]:
        try:
            self.api.run("version", "--format={{.Client.Version}}", about="podman")
        except ProviderError as error:
            return [Problem("podman", str(error), "podman on the controller, as root", "its packages (scripts/setup)")]
        found = self.handlers()["machine"].observe()
        self._addresses = {one.name: str(one.properties["address"]) for one in found}
        return []

    def failure_domains(self) -> tuple[str, ...]:
        return (DOMAIN,)

    def handlers(self) -> Mapping[str, Handler]:
        found = (Network(self.api), Volume(self.api), Machine(self.api, self.own, self.spec.network.cidr))
        return {handler.kind.name: handler for handler in found}

    def desired(self, failure_domains: Sequence[str]) -> list[Resource]:
        spec = self.spec
        names = [name for name, _pool in spec.machines()]
        known = addresses.assign(spec.network.cidr, names, self._addresses, [self.own.vip])
        own: dict[str, Any] = {"cidr": spec.network.cidr, "internal": spec.network.egress == "none"}
        found = [Resource("network", "main", own, "infrastructure_network.cidr")]
        for name, pool in spec.machines():
            change = f"infrastructure_pools[{pool.name}]"
            disks = [f"{name}-{disk.name}" for disk in pool.data_disks]
            found += [Resource("volume", disk, {"driver": DOMAIN}, change) for disk in disks]
            own = {
                "pool": pool.name,
                "roles": sorted(pool.roles),
                "image": str(pool.image),
                "size": f"{pool.cpu} CPUs, {pool.memory_gib} GiB",
                "failure_domain": DOMAIN,
                "network": Ref("network/main"),
                "address": known[name],
                "disks": [Ref(f"volume/{disk}") for disk in disks],
                "running": True,
                "authorized_keys": list(spec.access.authorized_keys),
                "names": self._names(known),
                "mounts": self._mounts(name),
            }
            found.append(Resource("machine", name, own, change))
        return found

    def _names(self, known: Mapping[str, str]) -> dict[str, str]:
        """What a machine has to know before the cluster's roles have told it anything."""
        return {self.own.mirror.name: known[MIRROR_MACHINE]} if self.own.mirror.name else {}

    def _mounts(self, machine: str) -> list[str]:
        serves = self.own.mirror.name and machine == MIRROR_MACHINE
        return [f"{self.own.mirror.directory}:/srv/mirror:ro"] if serves else []

    def preflight(self, plan: Plan) -> list[Problem]:
        new = {action.key for action in plan.actions if action.verb == "create"}
        found = []
        if any(key.startswith("machine/") for key in new) and not newest_image(self.api, self.own.image):
            wanted = "the node image, which playbooks/provision.yml builds"
            seen = f"podman has no image {self.own.image}"
            found.append(Problem("image", seen, wanted, "infrastructure_settings.image"))
        return found + (self._overlaps() if "network/main" in new else [])

    def _overlaps(self) -> list[Problem]:
        cidr = ipaddress.ip_network(self.spec.network.cidr)
        found = []
        for entry in self.api.json("network", "ls", "--format=json"):
            others = [ipaddress.ip_network(subnet["subnet"]) for subnet in entry.get("subnets") or []]
            for other in others:
                if other.version == cidr.version and cidr.overlaps(other):
                    seen = f"cidr is {cidr}, and podman's network {entry['name']} has {other}"
                    found.append(Problem("network", seen, "networks apart", "infrastructure_network.cidr"))
        return found

    def outputs(self, world: Mapping[str, Found]) -> Outputs:
        spec = self.spec
        mode = capabilities.endpoint_mode(spec, self.CAPABILITIES, self.NAME).chosen
        return Outputs(
            provider=self.NAME,
            cluster=spec.name,
            infra_id=spec.infra_id,
            uid=spec.uid,
            endpoint={"host": spec.endpoint.host, "port": spec.endpoint.port, "mode": mode, "address": self.own.vip},
            failure_domains=(DOMAIN,),
            machines=machines(world),
            storage_classes=({"name": "standard", "provisioner": "rancher.io/local-path", "parameters": {}},),
            mtu=1500,
        )


def _with_mirror(spec: Spec, own: Settings) -> Spec:
    """The description with the one machine more that is no other provider's business."""
    if not own.mirror.name:
        return spec
    image, disk = Image("debian", "12"), Disk("root", 20, encrypted=False)
    mirror = Pool("mirror", ("mirror",), 1, cpu=1, memory_gib=1, architecture="amd64", image=image, root_disk=disk)
    return replace(spec, pools=(*spec.pools, mirror))
