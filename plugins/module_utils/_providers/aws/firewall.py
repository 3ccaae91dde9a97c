# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security groups, one for each role of machines, made from the port table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .ec2 import Ec2Handler

# [protocol, first port, last port, network]
Rule = list


class SecurityGroup(Ec2Handler):
    kind = Kind("security_group", needs=("vpc",), mutable=frozenset({"ingress"}), replaceable=False)
    TYPE, LIST, ID = "security-group", ("describe_security_groups", "SecurityGroups"), "GroupId"

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        return {"vpc": item["VpcId"], "ingress": rules(item.get("IpPermissions") or ())}

    def create(self, wanted: Resource, token: str) -> Found:
        # Names are unique in a VPC: one that an interrupted run left is found by its tags, never by its name.
        answer = self.ec2(
            "create_security_group",
            wanted,
            GroupName=self.at_provider(wanted.name),
            Description=f"{wanted.name} of {self.ownership.infra_id}",
            VpcId=wanted.properties["vpc"],
            TagSpecifications=self.tagged(wanted),
        )
        return self._complete(wanted, answer["GroupId"], [])

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id, found.properties["ingress"])

    def _complete(self, wanted: Resource, id: str, current: list[Rule]) -> Found:
        # What is allowed anew comes first: nobody is cut off in between.
        new = [rule for rule in wanted.properties["ingress"] if rule not in current]
        old = [rule for rule in current if rule not in wanted.properties["ingress"]]
        if new:
            self.ec2("authorize_security_group_ingress", wanted, GroupId=id, IpPermissions=permissions(new))
        if old:
            self.ec2("revoke_security_group_ingress", wanted, GroupId=id, IpPermissions=permissions(old))
        return self.finish(wanted, id)

    def delete(self, found: Found) -> None:
        self.ec2("delete_security_group", found, gone=True, GroupId=found.id)


def permissions(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Rules as EC2 takes them."""
    found = []
    for protocol, first, last, network in rules:
        name, field = ("Ipv6Ranges", "CidrIpv6") if ":" in network else ("IpRanges", "CidrIp")
        ports = {"FromPort": first, "ToPort": last} if first is not None else {}
        found.append({"IpProtocol": protocol, **ports, name: [{field: network}]})
    return found


def rules(permissions: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """Rules as EC2 gives them, sorted. Whatever is no network (another group, a prefix list) is a rule as well."""
    found = []
    for one in permissions:
        networks = [entry["CidrIp"] for entry in one.get("IpRanges") or ()]
        networks += [entry["CidrIpv6"] for entry in one.get("Ipv6Ranges") or ()]
        networks += [entry.get("GroupId", "") for entry in one.get("UserIdGroupPairs") or ()]
        networks += [entry["PrefixListId"] for entry in one.get("PrefixListIds") or ()]
        found += [[one["IpProtocol"], one.get("FromPort"), one.get("ToPort"), network] for network in networks]
    return sorted(found, key=str)
