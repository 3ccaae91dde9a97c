# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would make a plan fail half-way, asked before its first step. Only what the plan needs is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import Problem, ProviderError
from ..model import Plan, Resource
from ..ownership import Ownership
from ..reader import nearest
from ..spec import Spec
from .api import Api
from .balancer import NAME
from .ec2 import AwsHandler
from .names import OWNER, Record
from .sizes import FAMILIES

# Virtual CPUs of running on-demand machines of the general families, in the words of Service Quotas.
CPU_QUOTA = ("ec2", "L-1216C47A")
GENERAL = re.compile(r"[acdhimrtz]\d")


class Preflight:
    def __init__(self, api: Api, spec: Spec, plan: Plan) -> None:
        self.api = api
        self.spec = spec
        self.new = [action.wanted for action in plan.actions if action.verb == "create" and action.wanted]
        self.machines = [one for one in self.new if one.kind == "machine"]
        self.namer = AwsHandler(api, Ownership.of(spec))

    def problems(self) -> list[Problem]:
        found = [*self.network()]
        if self.machines:
            found += [*self.sizes(), *self.images(), *self.quota()]
        for one in self.new:
            found += self.names(one)
        return found

    def network(self) -> Iterator[Problem]:
        """An existing network has to be what the description says it is."""
        native = self.spec.native.get("aws") or {}
        if self.spec.network.mode != "existing" or not self.new:
            return
        subnets = native["subnet_ids"]
        variable = "infrastructure_native.aws.subnet_ids"
        filters = [{"Name": "vpc-id", "Values": [native["vpc_id"]]}]
        there = {one["SubnetId"]: one for one in self.api.pages("ec2", "describe_subnets", "Subnets", Filters=filters)}
        for zone, id in sorted(subnets.items()):
            if id not in there:
                yield Problem(f"subnet {id}", f"is not in {native['vpc_id']}", nearest(id, there), variable)
            elif there[id]["AvailabilityZone"] != zone:
                yield Problem(f"subnet {id}", f"is in {there[id]['AvailabilityZone']}", zone, variable)

    def sizes(self) -> Iterator[Problem]:
        wanted = {(one.properties["size"], one.properties["failure_domain"]): one for one in self.machines}
        types = sorted({size for size, _zone in wanted})
        offered = set(self._offered(types))
        known = {size for size, _zone in offered}
        for (size, zone), one in sorted(wanted.items()):
            variable = f"{one.change}.native.aws.instance_type"
            if size not in known:
                near = self._nearest_type(size)
                yield Problem(f"pool {one.properties['pool']}", f"size {size} is not offered here", near, variable)
            elif (size, zone) not in offered:
                zones = ", ".join(sorted(own for type, own in offered if type == size))
                yield Problem(
                    f"pool {one.properties['pool']}",
                    f"size {size} is not offered in {zone}",
                    f"a zone that has it ({zones})",
                    "infrastructure_failure_domains",
                )

    def _offered(self, types: list[str]) -> Iterator[tuple[str, str]]:
        filters = [{"Name": "instance-type", "Values": types}]
        for one in self._offerings(LocationType="availability-zone", Filters=filters):
            yield one["InstanceType"], one["Location"]

    def _offerings(self, **parameters: Any) -> Iterator[Any]:
        return self.api.pages("ec2", "describe_instance_type_offerings", "InstanceTypeOfferings", **parameters)

    def _nearest_type(self, size: str) -> str:
        """Of the types of the same family, or of the families that we choose from."""
        family = size.split(".")[0]
        families = {family, *(name for own in FAMILIES.values() for name in own)}
        types = {one["InstanceType"] for one in self._offerings(LocationType="region")}
        return nearest(size, {type for type in types if type.split(".")[0] in families})

    def images(self) -> Iterator[Problem]:
        asked: dict[str, Resource] = {str(one.properties["image_id"]): one for one in self.machines}
        for one in asked.values():
            pool = one.properties["pool"]
            try:
                found = list(self.api.pages("ec2", "describe_images", "Images", **one.properties["image_id"]))
            except ProviderError:
                found = []  # an id that does not exist is an error, a name is not
            if not found:
                seen = f"there is no image {one.properties['image']} in {self.api.settings.region}"
                wanted = "an image of this region"
                change = f"{one.change}.image, or {one.change}.native.aws.image_id"
                yield Problem(f"pool {pool}", seen, wanted, change)

    def quota(self) -> Iterator[Problem]:
        """Whether all new machines fit beside the account's. One that may not read its quotas finds out later."""
        service, code = CPU_QUOTA
        try:
            answer = self.api.call("service-quotas", "get_service_quota", ServiceCode=service, QuotaCode=code)
        except ProviderError:
            return
        sizes = [one.properties["size"] for one in self.machines if not one.properties["preemptible"]]
        running = self._running()
        cpus = {
            one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"]
            for one in self.api.pages(
                "ec2", "describe_instance_types", "InstanceTypes", InstanceTypes=sorted({*sizes, *running})
            )
        }
        needed, used = sum(cpus.get(size, 0) for size in sizes), sum(cpus.get(size, 0) for size in running)
        quota = answer["Quota"]["Value"]
        if needed + used > quota:
            yield Problem(
                "quota",
                f"{len(sizes)} new machines need {needed} virtual CPUs, and {used} are in use",
                f"at most {quota:g} in {self.api.settings.region}",
                "infrastructure_pools, or have the quota raised",
            )

    def _running(self) -> list[str]:
        """The types of the account's machines that count, whosoever they are."""
        filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        return [
            one["InstanceType"]
            for reservation in self.api.pages("ec2", "describe_instances", "Reservations", Filters=filters)
            for one in reservation["Instances"]
            if one.get("InstanceLifecycle") != "spot" and GENERAL.match(one["InstanceType"])
        ]

    def names(self, one: Resource) -> list[Problem]:
        """Names that are unique in an account, or in the world, and that somebody else may have."""
        taken = {
            "balancer": self._balancer,
            "target_group": self._target_group,
            "bucket": self._bucket,
            "identity": self._identity,
            "record": self._record,
        }.get(one.kind)
        seen = taken(one) if taken else ""
        return [Problem(one.key, seen, "a name that nobody has, or no such resource", one.change)] if seen else []

    def _balancer(self, one: Resource) -> str:
        name = self.namer.at_provider(one.name, NAME)
        found: Any = self.api.call("elbv2", "describe_load_balancers", gone=True, Names=[name])
        return f"a load balancer {name} exists, and is not this cluster's" if found and found["LoadBalancers"] else ""

    def _target_group(self, one: Resource) -> str:
        name = self.namer.at_provider(one.name, NAME)
        found: Any = self.api.call("elbv2", "describe_target_groups", gone=True, Names=[name])
        return f"a target group {name} exists, and is not this cluster's" if found and found["TargetGroups"] else ""

    def _identity(self, one: Resource) -> str:
        name = self.namer.at_provider(one.name, 64)
        found = self.api.call("iam", "get_role", gone=True, RoleName=name)
        return f"a role {name} exists, and is not this cluster's" if found else ""

    def _bucket(self, one: Resource) -> str:
        name = self.namer.at_provider(one.name, 63)
        try:
            if not self.api.call("s3", "head_bucket", gone=True, Bucket=name):
                return ""
        except ProviderError:
            return f"a bucket {name} exists, and belongs to another account"
        # Ours, without tags: what an interrupted run has left, which the next one finishes.
        tags = self.api.call("s3", "get_bucket_tagging", gone=True, Bucket=name)
        return f"a bucket {name} exists, and is not this cluster's" if tags else ""

    def _record(self, one: Resource) -> str:
        record = Record(self.api, self.namer.ownership, self.spec)
        zone = record.zone_id()
        if not zone:
            return f"Route 53 has no public zone {self.spec.dns.zone}"
        for name, type in ((record.host, "A"), (record.host, "CNAME"), (OWNER + record.host, "TXT")):
            if record.record(zone, name, type):
                return f"{name} has a record of type {type} that is not this cluster's"
        return ""
