# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load balancer before the API: a Network Load Balancer, its target group, its listener, its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .api import tag_list, tags_of
from .ec2 import AwsHandler

ELB = "elbv2"
# The longest name that a load balancer or a target group may have.
NAME = 32
CROSS_ZONE = "load_balancing.cross_zone.enabled"


class ElbHandler(AwsHandler):
    """Elastic Load Balancing filters no list by tags. Names are the cluster's own (they hold its infra_id), so one call
    asks for what goes by them, and one more for its tags."""

    def call(self, operation: str, about: Resource | Found, gone: bool = False, **parameters: Any) -> Any:
        return self.api.call(ELB, operation, about=about.key, gone=gone, **parameters)

    def found(self, item: Mapping[str, Any], arn: str, tags: Mapping[str, str]) -> Found:
        name, stamp = self.ownership.name(tags), self.ownership.stamp(tags)
        return Found(self.kind.name, name, arn, self.properties(item), stamp, details=self.details(item))

    def properties(self, item: Mapping[str, Any]) -> Properties:
        raise NotImplementedError

    def details(self, item: Mapping[str, Any]) -> Properties:
        return {}

    def owned(self, items: Sequence[Mapping[str, Any]], arn: str) -> Iterator[Found]:
        if items:
            answer = self.api.call(ELB, "describe_tags", ResourceArns=[item[arn] for item in items])
            tags = {one["ResourceArn"]: tags_of(one) for one in answer["TagDescriptions"]}
            for item in items:
                if self.ownership.owns(tags.get(item[arn], {})):
                    yield self.found(item, item[arn], tags[item[arn]])

    def tags(self, wanted: Resource, stamp: str = "") -> list[dict[str, str]]:
        return tag_list(self.ownership.tags(wanted.name, stamp))

    def finish(self, wanted: Resource, arn: str, **details: Any) -> Found:
        tags = tag_list({self.ownership.stamp_tag: wanted.stamp})
        self.call("add_tags", wanted, ResourceArns=[arn], Tags=tags)
        return Found(wanted.kind, wanted.name, arn, wanted.properties, wanted.stamp, details=details)


class Balancer(ElbHandler):
    kind = Kind(
        "balancer",
        needs=("subnet", "internet_gateway"),
        mutable=frozenset({"cross_zone", "subnets"}),
        unordered=frozenset({"subnets"}),
    )

    def observe(self) -> Iterator[Found]:
        answer = self.api.call(ELB, "describe_load_balancers", gone=True, Names=[self.at_provider("api", NAME)])
        return self.owned(answer["LoadBalancers"] if answer else [], "LoadBalancerArn")

    def properties(self, item: Mapping[str, Any]) -> Properties:
        answer = self.api.call(ELB, "describe_load_balancer_attributes", LoadBalancerArn=item["LoadBalancerArn"])
        attributes = {one["Key"]: one["Value"] for one in answer["Attributes"]}
        return {
            "public": item["Scheme"] == "internet-facing",
            "subnets": sorted(zone["SubnetId"] for zone in item["AvailabilityZones"]),
            "cross_zone": attributes.get(CROSS_ZONE) == "true",
        }

    def details(self, item: Mapping[str, Any]) -> Properties:
        return {"dns_name": item["DNSName"], "zone_id": item["CanonicalHostedZoneId"], "vpc": item["VpcId"]}

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        answer = self.call(
            "create_load_balancer",
            wanted,
            Name=self.at_provider(wanted.name, NAME),
            Type="network",
            Scheme="internet-facing" if own["public"] else "internal",
            Subnets=own["subnets"],
            Tags=self.tags(wanted),
        )
        item = answer["LoadBalancers"][0]
        return self._complete(wanted, item["LoadBalancerArn"], self.details(item))

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        if any(change.field == "subnets" for change in changes):
            self.call("set_subnets", wanted, LoadBalancerArn=found.id, Subnets=wanted.properties["subnets"])
        return self._complete(wanted, found.id, found.details)

    def _complete(self, wanted: Resource, arn: str, details: Properties) -> Found:
        value = [{"Key": CROSS_ZONE, "Value": str(wanted.properties["cross_zone"]).lower()}]
        self.call("modify_load_balancer_attributes", wanted, LoadBalancerArn=arn, Attributes=value)
        return self.finish(wanted, arn, **details)

    def delete(self, found: Found) -> None:
        self.call("delete_load_balancer", found, gone=True, LoadBalancerArn=found.id)


class TargetGroup(ElbHandler):
    """An API server counts as healthy when it says so itself, at /readyz."""

    kind = Kind("target_group", needs=("vpc",), mutable=frozenset({"health_path"}), replaceable=False)

    def observe(self) -> Iterator[Found]:
        answer = self.api.call(ELB, "describe_target_groups", gone=True, Names=[self.at_provider("api", NAME)])
        return self.owned(answer["TargetGroups"] if answer else [], "TargetGroupArn")

    def properties(self, item: Mapping[str, Any]) -> Properties:
        return {"vpc": item["VpcId"], "port": item["Port"], "health_path": item.get("HealthCheckPath")}

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        answer = self.call(
            "create_target_group",
            wanted,
            Name=self.at_provider(wanted.name, NAME),
            Protocol="TCP",
            Port=own["port"],
            VpcId=own["vpc"],
            TargetType="instance",
            HealthCheckProtocol="HTTPS",
            HealthCheckPath=own["health_path"],
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=4,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
            Tags=self.tags(wanted, wanted.stamp),
        )
        arn = answer["TargetGroups"][0]["TargetGroupArn"]
        return Found(wanted.kind, wanted.name, arn, own, wanted.stamp)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        path = wanted.properties["health_path"]
        self.call("modify_target_group", wanted, TargetGroupArn=found.id, HealthCheckPath=path)
        return self.finish(wanted, found.id)

    def delete(self, found: Found) -> None:
        self.call("delete_target_group", found, gone=True, TargetGroupArn=found.id)


class Listener(ElbHandler):
    """The port of the load balancer. It is listed through the load balancer, which is the cluster's own by its tags."""

    kind = Kind("listener", needs=("balancer", "target_group"), mutable=frozenset({"port", "target_group"}))

    def __init__(self, balancer: Balancer) -> None:
        super().__init__(balancer.api, balancer.ownership)
        self.balancer = balancer

    def observe(self) -> Iterator[Found]:
        name = self.at_provider("api", NAME)
        answer = self.api.call(ELB, "describe_load_balancers", gone=True, Names=[name])
        for one in answer["LoadBalancers"] if answer else []:
            arn = one["LoadBalancerArn"]
            listeners = self.api.call(ELB, "describe_listeners", gone=True, LoadBalancerArn=arn)
            yield from self.owned(listeners["Listeners"] if listeners else [], "ListenerArn")

    def properties(self, item: Mapping[str, Any]) -> Properties:
        targets = [one.get("TargetGroupArn") for one in item["DefaultActions"]]
        return {
            "balancer": item["LoadBalancerArn"],
            "port": item["Port"],
            "target_group": next(iter(targets), None),
        }

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        answer = self.call(
            "create_listener",
            wanted,
            LoadBalancerArn=own["balancer"],
            Protocol="TCP",
            Port=own["port"],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": own["target_group"]}],
            Tags=self.tags(wanted, wanted.stamp),
        )
        arn = answer["Listeners"][0]["ListenerArn"]
        return Found(wanted.kind, wanted.name, arn, own, wanted.stamp)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        own = wanted.properties
        forward = [{"Type": "forward", "TargetGroupArn": own["target_group"]}]
        self.call("modify_listener", wanted, ListenerArn=found.id, Port=own["port"], DefaultActions=forward)
        return self.finish(wanted, found.id)

    def delete(self, found: Found) -> None:
        self.call("delete_listener", found, gone=True, ListenerArn=found.id)


class Target(AwsHandler):
    """A machine in the target group. It has no tags: the group that it is in has, and so it has no stamp either."""

    kind = Kind("target", needs=("target_group", "machine"))

    def __init__(self, groups: TargetGroup, machines: Any) -> None:
        super().__init__(groups.api, groups.ownership)
        self.groups = groups
        self.machines = machines

    def observe(self) -> Iterator[Found]:
        for group in self.groups.observe():
            answer = self.api.call(ELB, "describe_target_health", gone=True, TargetGroupArn=group.id)
            if not answer or not answer["TargetHealthDescriptions"]:
                continue
            names = {machine.id: machine.name for machine in self.machines.observe()}
            for one in answer["TargetHealthDescriptions"]:
                machine = one["Target"]["Id"]
                # Somebody else's machine in the group is somebody else's doing.
                if machine in names and one.get("TargetHealth", {}).get("State") != "draining":
                    properties = {"target_group": group.id, "machine": machine}
                    yield Found("target", names[machine], f"{group.id} {machine}", properties)

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        targets = [{"Id": own["machine"]}]
        self.api.call(ELB, "register_targets", about=wanted.key, TargetGroupArn=own["target_group"], Targets=targets)
        return Found(wanted.kind, wanted.name, f"{own['target_group']} {own['machine']}", own)

    def delete(self, found: Found) -> None:
        own = found.properties
        targets = [{"Id": own["machine"]}]
        self.api.call(
            ELB, "deregister_targets", about=found.key, gone=True, TargetGroupArn=own["target_group"], Targets=targets
        )
