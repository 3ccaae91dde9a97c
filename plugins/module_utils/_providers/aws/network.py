# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: a VPC, a subnet in each zone, and the ways out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import TransientError
from ..model import Change, Found, Kind, Properties, Resource
from .ec2 import Ec2Handler


class Vpc(Ec2Handler):
    kind = Kind("vpc", mutable=frozenset({"dns_hostnames"}), replaceable=False)
    TYPE, LIST, ID = "vpc", ("describe_vpcs", "Vpcs"), "VpcId"

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        attribute = self.api.call("ec2", "describe_vpc_attribute", VpcId=item["VpcId"], Attribute="enableDnsHostnames")
        return {"cidr": item["CidrBlock"], "dns_hostnames": attribute["EnableDnsHostnames"]["Value"]}

    def create(self, wanted: Resource, token: str) -> Found:
        answer = self.ec2(
            "create_vpc", wanted, CidrBlock=wanted.properties["cidr"], TagSpecifications=self.tagged(wanted)
        )
        return self._complete(wanted, answer["Vpc"]["VpcId"])

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id)

    def _complete(self, wanted: Resource, id: str) -> Found:
        value = {"Value": wanted.properties["dns_hostnames"]}
        self.ec2("modify_vpc_attribute", wanted, VpcId=id, EnableDnsHostnames=value)
        return self.finish(wanted, id)

    def delete(self, found: Found) -> None:
        self.ec2("delete_vpc", found, gone=True, VpcId=found.id)


class InternetGateway(Ec2Handler):
    kind = Kind("internet_gateway", needs=("vpc",), mutable=frozenset({"vpc"}), replaceable=False)
    TYPE, LIST, ID = "internet-gateway", ("describe_internet_gateways", "InternetGateways"), "InternetGatewayId"

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        return {"vpc": next((one["VpcId"] for one in item.get("Attachments") or ()), None)}

    def create(self, wanted: Resource, token: str) -> Found:
        answer = self.ec2("create_internet_gateway", wanted, TagSpecifications=self.tagged(wanted))
        return self._attach(wanted, answer["InternetGateway"]["InternetGatewayId"])

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        vpc = found.properties["vpc"]
        if vpc == wanted.properties["vpc"]:
            return self.finish(wanted, found.id)
        if vpc:
            self._detach(found)
        return self._attach(wanted, found.id)

    def _attach(self, wanted: Resource, id: str) -> Found:
        self.ec2("attach_internet_gateway", wanted, InternetGatewayId=id, VpcId=wanted.properties["vpc"])
        return self.finish(wanted, id)

    def _detach(self, found: Found) -> None:
        vpc = found.properties["vpc"]
        self.ec2("detach_internet_gateway", found, gone=True, InternetGatewayId=found.id, VpcId=vpc)

    def delete(self, found: Found) -> None:
        if found.properties["vpc"]:
            self._detach(found)
        self.ec2("delete_internet_gateway", found, gone=True, InternetGatewayId=found.id)


class Subnet(Ec2Handler):
    kind = Kind("subnet", needs=("vpc",), mutable=frozenset({"public"}), replaceable=False)
    TYPE, LIST, ID = "subnet", ("describe_subnets", "Subnets"), "SubnetId"

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        return {
            "vpc": item["VpcId"],
            "zone": item["AvailabilityZone"],
            "cidr": item["CidrBlock"],
            "public": item["MapPublicIpOnLaunch"],
        }

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        answer = self.ec2(
            "create_subnet",
            wanted,
            VpcId=own["vpc"],
            AvailabilityZone=own["zone"],
            CidrBlock=own["cidr"],
            TagSpecifications=self.tagged(wanted),
        )
        return self._complete(wanted, answer["Subnet"]["SubnetId"])

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id)

    def _complete(self, wanted: Resource, id: str) -> Found:
        value = {"Value": wanted.properties["public"]}
        self.ec2("modify_subnet_attribute", wanted, SubnetId=id, MapPublicIpOnLaunch=value)
        return self.finish(wanted, id)

    def delete(self, found: Found) -> None:
        self.ec2("delete_subnet", found, gone=True, SubnetId=found.id)


class ElasticIp(Ec2Handler):
    kind = Kind("elastic_ip")
    TYPE, LIST, ID = "elastic-ip", ("describe_addresses", "Addresses"), "AllocationId"

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        return {}

    def create(self, wanted: Resource, token: str) -> Found:
        tags = self.tagged(wanted, wanted.stamp)
        answer = self.ec2("allocate_address", wanted, Domain="vpc", TagSpecifications=tags)
        return self.made(wanted, answer["AllocationId"])

    def delete(self, found: Found) -> None:
        self.ec2("release_address", found, gone=True, AllocationId=found.id)


class NatGateway(Ec2Handler):
    kind = Kind("nat_gateway", needs=("subnet", "elastic_ip", "internet_gateway"))
    TYPE, LIST, ID = "natgateway", ("describe_nat_gateways", "NatGateways"), "NatGatewayId"

    def exists(self, item: Mapping[str, Any]) -> bool:
        return item["State"] in ("pending", "available")

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        addresses = [one.get("AllocationId") for one in item.get("NatGatewayAddresses") or ()]
        return {"subnet": item["SubnetId"], "elastic_ip": next(iter(addresses), None)}

    def create(self, wanted: Resource, token: str) -> Found:
        answer = self.ec2(
            "create_nat_gateway",
            wanted,
            SubnetId=wanted.properties["subnet"],
            AllocationId=wanted.properties["elastic_ip"],
            ClientToken=token,
            TagSpecifications=self.tagged(wanted, wanted.stamp),
        )
        return self.made(wanted, answer["NatGateway"]["NatGatewayId"])

    def delete(self, found: Found) -> None:
        self.ec2("delete_nat_gateway", found, gone=True, NatGatewayId=found.id)
        # Its address cannot be released before it is gone.
        answer = self.ec2("describe_nat_gateways", found, gone=True, NatGatewayIds=[found.id])
        if answer and any(one["State"] == "deleting" for one in answer["NatGateways"]):
            raise TransientError(f"{found.key}: still deleting")


class RouteTable(Ec2Handler):
    """routes: {network: id of a gateway}; subnets: the subnets that go by it, sorted."""

    kind = Kind(
        "route_table",
        needs=("vpc", "subnet", "internet_gateway", "nat_gateway"),
        mutable=frozenset({"routes", "subnets"}),
        unordered=frozenset({"subnets"}),
        replaceable=False,
    )
    TYPE, LIST, ID = "route-table", ("describe_route_tables", "RouteTables"), "RouteTableId"

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        routes = {
            one["DestinationCidrBlock"]: one.get("NatGatewayId") or one.get("GatewayId")
            for one in item.get("Routes") or ()
            if "DestinationCidrBlock" in one and one.get("GatewayId") != "local"
        }
        return {"vpc": item["VpcId"], "routes": routes, "subnets": sorted(self._associations(item))}

    def details(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        return {"associations": self._associations(item)}

    @staticmethod
    def _associations(item: Mapping[str, Any]) -> dict[str, str]:
        found = item.get("Associations") or ()
        return {one["SubnetId"]: one["RouteTableAssociationId"] for one in found if one.get("SubnetId")}

    def create(self, wanted: Resource, token: str) -> Found:
        vpc = wanted.properties["vpc"]
        answer = self.ec2("create_route_table", wanted, VpcId=vpc, TagSpecifications=self.tagged(wanted))
        return self._complete(wanted, answer["RouteTable"]["RouteTableId"], {}, {})

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id, found.properties["routes"], found.details["associations"])

    def _complete(self, wanted: Resource, id: str, routes: Mapping[str, str], associations: Mapping[str, str]) -> Found:
        for network in sorted(set(routes) - set(wanted.properties["routes"])):
            self.ec2("delete_route", wanted, RouteTableId=id, DestinationCidrBlock=network)
        for network, gateway in sorted(wanted.properties["routes"].items()):
            if routes.get(network) != gateway:
                name = "NatGatewayId" if gateway.startswith("nat-") else "GatewayId"
                operation = "replace_route" if network in routes else "create_route"
                target = {name: gateway}
                self.ec2(operation, wanted, RouteTableId=id, DestinationCidrBlock=network, **target)
        new = {}
        for subnet, association in associations.items():
            if subnet not in wanted.properties["subnets"]:
                self.ec2("disassociate_route_table", wanted, gone=True, AssociationId=association)
        for subnet in wanted.properties["subnets"]:
            new[subnet] = (
                associations.get(subnet)
                or self.ec2("associate_route_table", wanted, RouteTableId=id, SubnetId=subnet)["AssociationId"]
            )
        return self.finish(wanted, id, associations=new)

    def delete(self, found: Found) -> None:
        for association in found.details["associations"].values():
            self.ec2("disassociate_route_table", found, gone=True, AssociationId=association)
        self.ec2("delete_route_table", found, gone=True, RouteTableId=found.id)
