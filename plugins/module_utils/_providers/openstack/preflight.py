# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would make a plan fail half-way, asked before its first step. Only what the plan needs is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..errors import Problem
from ..model import Plan, Resource
from ..reader import nearest
from ..rfc2136.nameserver import Zones
from ..rfc2136.records import taken
from ..spec import Spec
from .api import Api
from .offer import Offer

# kind: what Neutron calls its quota
COUNTED = {
    "network": "network",
    "subnet": "subnet",
    "router": "router",
    "port": "port",
    "floating_ip": "floatingip",
    "security_group": "security_group",
}


class Preflight:
    def __init__(self, api: Api, offer: Offer, zones: Zones, spec: Spec, plan: Plan) -> None:
        self.api = api
        self.zones = zones
        self.offer = offer
        self.spec = spec
        made = [action for action in plan.actions if action.verb == "create" and action.wanted]
        self.new = [action.wanted for action in made if action.wanted]
        # What is made in another one's place needs about what that one did.
        self.more = [action.wanted for action in made if action.wanted and not action.replaces]
        self.machines = [one for one in self.new if one.kind == "machine"]

    def problems(self) -> list[Problem]:
        found = [*self.subnet()] if self.new else []
        if self.machines:
            found += [*self.flavors(), *self.images()]
        if any(one.kind in ("machine", "volume") for one in self.new):
            found += [*self.volume_types()]
        if any(one.kind == "record" for one in self.new):
            found += [*taken(self.spec, self.zones)]
        return found or [*self.quotas()]

    def subnet(self) -> Iterator[Problem]:
        """An existing subnet has to be there, and to be the network that the description says."""
        wanted = {one.properties["subnet"] for one in self.new if one.kind == "port"}
        for id in sorted(one for one in wanted if isinstance(one, str)):
            answer = self.api.call("network", "GET", f"/subnets/{id}", gone=True)
            cidr = self.spec.network.cidr
            if not answer:
                known = self.api.pages("network", "/subnets", "subnets", project_id=self.api.project())
                wanted_one = nearest(id, [one["id"] for one in known])
                change = "infrastructure_native.openstack.subnet_id"
                yield Problem("network", f"there is no subnet {id}", wanted_one, change)
            elif answer["subnet"]["cidr"] != cidr:
                seen = f"cidr is {cidr}, and that of the subnet {answer['subnet']['cidr']}"
                yield Problem("network", seen, answer["subnet"]["cidr"], "infrastructure_network.cidr")

    def _pools(self) -> list[Resource]:
        """A machine of each pool."""
        return list({one.properties["pool"]: one for one in self.machines}.values())

    def flavors(self) -> Iterator[Problem]:
        for one in self._pools():
            wanted = one.properties["flavor"]
            if self.offer.flavor(wanted):
                continue
            subject, names = f"pool {one.properties['pool']}", [flavor["name"] for flavor in self.offer.flavors()]
            if wanted.get("name"):
                change = f"{one.change}.native.openstack.flavor"
                yield Problem(subject, f"there is no flavor {wanted['name']}", nearest(wanted["name"], names), change)
            elif not names:
                yield Problem(subject, "the cloud offers no flavor", "one", "the project")
            else:
                largest = self.offer.flavors()[-1]
                has = f"{largest['name']} with {largest['vcpus']} CPUs and {largest['ram'] // 1024} GiB"
                seen = f"no flavor has {wanted['cpu']} CPUs and {wanted['memory_gib']} GiB"
                yield Problem(subject, seen, f"what one has, such as {has}", f"{one.change}.cpu")

    def images(self) -> Iterator[Problem]:
        for one in self._pools():
            wanted = one.properties["source"]
            if self.offer.image(wanted):
                continue
            subject, change = f"pool {one.properties['pool']}", f"{one.change}.native.openstack.image"
            names = self.offer.image_names()
            if wanted.get("name"):
                yield Problem(subject, f"there is no image {wanted['name']}", nearest(wanted["name"], names), change)
            else:
                seen = "no image has os_distro={os}, os_version={version} and the architecture {architecture}"
                near = nearest(f"{wanted['os']} {wanted['version']}", names)
                yield Problem(subject, seen.format(**wanted), f"the name of one that is it: {near}", change)

    def volume_types(self) -> Iterator[Problem]:
        known, seen = self.offer.volume_types(), set()
        for one in self.new:
            type = one.properties["type"] if one.kind == "volume" else ""
            type = one.properties["root_disk"].split(" ", 1)[1] if one.kind == "machine" else type
            if type and type not in known and type not in seen:
                seen.add(type)
                change = "infrastructure_settings.volume_types, encrypted_volume_types"
                yield Problem("settings", f"there is no volume type {type}", nearest(type, known), change)

    # -- quotas ------------------------------------------------------------------------------------------------

    def quotas(self) -> Iterator[Problem]:
        needed: Counter[str] = Counter()
        disks = [one.properties["size_gib"] for one in self.more if one.kind == "volume"]
        for one in self.more:
            if one.kind == "machine":
                flavor = self.offer.flavor(one.properties["flavor"]) or {"vcpus": 0, "ram": 0}
                needed += Counter(instances=1, cores=flavor["vcpus"], ram=flavor["ram"])
                disks.append(int(one.properties["root_disk"].split(" ")[0]))
        if needed:
            limits = self.api.call("compute", "GET", "/limits")["limits"]["absolute"]
            names = {
                "instances": ("maxTotalInstances", "totalInstancesUsed"),
                "cores": ("maxTotalCores", "totalCoresUsed"),
                "ram": ("maxTotalRAMSize", "totalRAMUsed"),
            }
            for name, (most, used) in names.items():
                yield from self._fits(name, needed[name], limits[used], limits[most])
        if disks:
            limits = self.api.call("volume", "GET", "/limits")["limits"]["absolute"]
            yield from self._fits("volumes", len(disks), limits["totalVolumesUsed"], limits["maxTotalVolumes"])
            most, used = limits["maxTotalVolumeGigabytes"], limits["totalGigabytesUsed"]
            yield from self._fits("gigabytes of volumes", sum(disks), used, most)
        yield from self._network()

    def _network(self) -> Iterator[Problem]:
        needed = Counter(COUNTED[one.kind] for one in self.more if one.kind in COUNTED)
        if needed:
            answer = self.api.call("network", "GET", f"/quotas/{self.api.project()}/details", gone=True)
            for name, count in sorted(needed.items()):
                quota = (answer or {}).get("quota", {}).get(name)
                if quota:
                    yield from self._fits(f"{name}s", count, quota["used"] + quota["reserved"], quota["limit"])

    @staticmethod
    def _fits(what: str, needed: int, used: int, most: int) -> Iterator[Problem]:
        if 0 <= most < used + needed:
            yield Problem(
                "quota",
                f"the plan needs {needed} more {what}, and {used} are in use",
                f"at most {most} in the project",
                "infrastructure_pools, or have the quota raised",
            )
