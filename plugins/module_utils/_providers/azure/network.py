# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resource group and the network: what machines are in, and how they get out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import ProviderError
from ..model import Change, Found, Kind, Properties, Resource
from .arm import ArmHandler, Json, lower, own, reference

SUBNET = "nodes"


class Group(ArmHandler):
    """The cluster's own resource group. Where the settings name one that exists, there is none of this kind."""

    kind = Kind("group", replaceable=False)
    OPERATIONS, TYPE = "resource.resource_groups", "Microsoft.Resources/resourceGroups"

    def at_provider(self, name: str) -> str:
        return self.place.group

    def items(self) -> Iterator[Any]:
        tag = self.ownership.uid_tag
        filter = f"tagName eq '{tag}' and tagValue eq '{self.ownership.uid}'"
        return self.api.pages(f"{self.OPERATIONS}.list", filter=filter)

    def found(self, item: Json) -> Found:
        tags = item["tags"]
        name, stamp = self.ownership.name(tags), self.ownership.stamp(tags)
        return Found("group", name, lower(item["id"]), {"location": item["location"]}, stamp)

    def create(self, wanted: Resource, token: str) -> Found:
        body = {"location": wanted.properties["location"], "tags": self.tags(wanted)}
        operation = f"{self.OPERATIONS}.create_or_update"
        return self.found(self.api.call(operation, self.place.group, body, about=wanted.key))

    def delete(self, found: Found) -> None:
        """Azure deletes all that is in a group with it. So it goes when it is empty, and not before."""
        name = found.id.rsplit("/", 1)[1]
        left = [item["name"] for item in self.api.pages("resource.resources.list_by_resource_group", name)]
        if left:
            shown = ", ".join(sorted(left)[:3])
            raise ProviderError(
                f"{found.key}: the resource group {name} holds {len(left)} resources that are not the "
                f"cluster's ({shown}). Move or delete them, and repeat"
            )
        self.api.call("resource.resource_groups.begin_delete", name, about=found.key, gone=True)


class SecurityGroup(ArmHandler):
    """The rules of a pool's machines. rules: [priority, name, protocol, ports, sources]."""

    kind = Kind("security_group", needs=("group",), mutable=frozenset({"rules"}), replaceable=False)
    OPERATIONS, TYPE = "network.network_security_groups", "Microsoft.Network/networkSecurityGroups"
    # Rules that the cloud controller makes, for Services with a load balancer.
    CONTROLLER = "k8s-azure-lb_"

    def properties(self, item: Json) -> Properties:
        rules = [self._rule(one) for one in own(item).get("securityRules") or () if not self._is_controllers(one)]
        return {"rules": sorted(rules)}

    def _is_controllers(self, rule: Json) -> bool:
        return str(rule["name"]).startswith(self.CONTROLLER)

    @staticmethod
    def _rule(rule: Json) -> list[Any]:
        found = own(rule)
        sources = sorted(found.get("sourceAddressPrefixes") or ()) or [found.get("sourceAddressPrefix", "")]
        access = "" if found["access"] == "Allow" else f"{found['access'].lower()} "
        name = rule["name"] if found["direction"] == "Inbound" else f"{rule['name']} {found['direction'].lower()}"
        ports = found.get("destinationPortRange") or ",".join(found.get("destinationPortRanges") or ())
        return [found["priority"], name, f"{access}{found['protocol'].lower()}", ports, sources]

    def body(self, own_: Properties, live: Json) -> dict[str, Any]:
        theirs = [
            {"name": rule["name"], "properties": _writable(own(rule))}
            for rule in own(live).get("securityRules") or ()
            if self._is_controllers(rule)
        ]
        return {"properties": {"securityRules": [self._written(rule) for rule in own_["rules"]] + theirs}}

    @staticmethod
    def _written(rule: Sequence[Any]) -> dict[str, Any]:
        priority, name, protocol, ports, sources = rule
        access, _space, protocol = protocol.rpartition(" ")
        several = {"sourceAddressPrefixes": sources} if len(sources) > 1 else {"sourceAddressPrefix": sources[0]}
        return {
            "name": name,
            "properties": {
                "priority": priority,
                "direction": "Inbound",
                "access": access.title() or "Allow",
                "protocol": "*" if protocol == "*" else protocol.title(),
                "destinationPortRange": ports,
                "destinationAddressPrefix": "*",
                "sourcePortRange": "*",
                **several,
            },
        }


class Address(ArmHandler):
    """A public address. zones: those that it is there in, all of the region's for one that outlives a zone.

    They cannot be changed, and an address that clients know is not given up because the cluster has another zone.
    """

    kind = Kind("address", needs=("group",), create_only=frozenset({"zones"}))
    OPERATIONS, TYPE = "network.public_ip_addresses", "Microsoft.Network/publicIPAddresses"

    def properties(self, item: Json) -> Properties:
        return {}

    def details(self, item: Json) -> Properties:
        return {"ip": own(item).get("ipAddress", "")}

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        zones = {"zones": own["zones"]} if own["zones"] else {}
        return {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}, **zones}


class Nat(ArmHandler):
    kind = Kind("nat", needs=("address",), mutable=frozenset({"address"}))
    OPERATIONS, TYPE = "network.nat_gateways", "Microsoft.Network/natGateways"

    def properties(self, item: Json) -> Properties:
        return {"address": next((reference(one) for one in own(item).get("publicIpAddresses") or ()), None)}

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        return {"sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": own["address"]}]}}


class Network(ArmHandler):
    """The virtual network and its one subnet. Only the subnet is ever changed: others may have theirs beside it."""

    kind = Kind("network", needs=("nat", "group"), mutable=frozenset({"nat"}), replaceable=False)
    OPERATIONS, TYPE = "network.virtual_networks", "Microsoft.Network/virtualNetworks"

    def properties(self, item: Json) -> Properties:
        subnet = self._subnet(item)
        return {
            "cidr": next(iter(own(item)["addressSpace"]["addressPrefixes"]), ""),
            "subnet": own(subnet).get("addressPrefix"),
            "nat": reference(own(subnet).get("natGateway")),
        }

    def details(self, item: Json) -> Properties:
        return {"subnet_id": f"{lower(item['id'])}/subnets/{SUBNET}"}

    @staticmethod
    def _subnet(item: Json) -> Mapping[str, Any]:
        subnets: list[Mapping[str, Any]] = [one for one in own(item).get("subnets") or () if one["name"] == SUBNET]
        return subnets[0] if subnets else {}

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        subnet = {"name": SUBNET, "properties": self._subnet_body(own)}
        return {"properties": {"addressSpace": {"addressPrefixes": [own["cidr"]]}, "subnets": [subnet]}}

    @staticmethod
    def _subnet_body(own: Properties) -> dict[str, Any]:
        nat = {"natGateway": {"id": own["nat"]}} if own["nat"] else {}
        # Machines get out by an address or a NAT gateway, or not at all: never by what Azure happens to lend them.
        return {"addressPrefix": own["subnet"], "defaultOutboundAccess": False, **nat}

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        name = found.id.rsplit("/", 1)[1]
        live = self._subnet(self.call(self.GET, found.key, name))
        body = {"properties": self._subnet_body(wanted.properties)}
        headers = {"If-Match": live["etag"]} if live.get("etag") else {}
        operation = "network.subnets.begin_create_or_update"
        self.api.call(operation, self.place.group, name, SUBNET, body, about=wanted.key, headers=headers)
        self.stamp(wanted, found.id)
        return self.found(self.call(self.GET, found.key, name))


class Interface(ArmHandler):
    """A machine's network interface. pools: ids of the cluster's own backend pools; others' memberships stay."""

    kind = Kind(
        "interface",
        needs=("network", "security_group", "address", "balancer"),
        mutable=frozenset({"security_group", "address", "pools"}),
    )
    OPERATIONS, TYPE = "network.network_interfaces", "Microsoft.Network/networkInterfaces"

    def properties(self, item: Json) -> Properties:
        part = own(self._configuration(item))
        return {
            "subnet": reference(part.get("subnet")),
            "security_group": reference(own(item).get("networkSecurityGroup")),
            "address": reference(part.get("publicIPAddress")),
            "pools": sorted(pool for pool in self._pools(part) if self._is_ours(pool)),
        }

    def details(self, item: Json) -> Properties:
        return {"ip": own(self._configuration(item)).get("privateIPAddress", "")}

    @staticmethod
    def _configuration(item: Json) -> Mapping[str, Any]:
        return next(iter(own(item).get("ipConfigurations") or ()), {})

    @staticmethod
    def _pools(configuration: Json) -> list[str]:
        return [lower(pool["id"]) for pool in configuration.get("loadBalancerBackendAddressPools") or ()]

    def _is_ours(self, pool: str) -> bool:
        # The cloud controller's load balancers are called otherwise.
        return f"/loadbalancers/{self.place.name('')}".lower() in pool

    def body(self, own_: Properties, live: Json) -> dict[str, Any]:
        theirs = [pool for pool in self._pools(own(self._configuration(live))) if not self._is_ours(pool)]
        configuration: dict[str, Any] = {"subnet": {"id": own_["subnet"]}, "privateIPAllocationMethod": "Dynamic"}
        if own_["address"]:
            configuration["publicIPAddress"] = {"id": own_["address"]}
        pools = [{"id": pool} for pool in [*own_["pools"], *theirs]]
        if pools:
            configuration["loadBalancerBackendAddressPools"] = pools
        return {
            "properties": {
                "ipConfigurations": [{"name": "main", "properties": configuration}],
                "networkSecurityGroup": {"id": own_["security_group"]},
            }
        }


class Balancer(ArmHandler):
    """The API's load balancer. Machines get into its pool by their interfaces."""

    kind = Kind("balancer", needs=("address", "network"), mutable=frozenset({"port", "health_path"}))
    OPERATIONS, TYPE = "network.load_balancers", "Microsoft.Network/loadBalancers"
    FRONTEND, POOL, PROBE = "endpoint", "machines", "ready"

    def properties(self, item: Json) -> Properties:
        found = own(item)
        frontend = own(next(iter(found.get("frontendIPConfigurations") or ()), {}))
        rule = own(next(iter(found.get("loadBalancingRules") or ()), {}))
        probe = own(next(iter(found.get("probes") or ()), {}))
        return {
            "address": reference(frontend.get("publicIPAddress")),
            "subnet": reference(frontend.get("subnet")),
            "port": rule.get("frontendPort"),
            "health_path": probe.get("requestPath"),
        }

    def details(self, item: Json) -> Properties:
        frontend = own(next(iter(own(item).get("frontendIPConfigurations") or ()), {}))
        pool = f"{lower(item['id'])}/backendaddresspools/{self.POOL}"
        return {"ip": frontend.get("privateIPAddress", ""), "pool_id": pool}

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        id = f"{self.place.group_id}/providers/Microsoft.Network/loadBalancers/{self.at_provider('api')}"
        if own["address"]:
            frontend: dict[str, Any] = {"publicIPAddress": {"id": own["address"]}}
        else:
            frontend = {"subnet": {"id": own["subnet"]}, "privateIPAllocationMethod": "Dynamic"}
        probe = {"protocol": "Https", "port": own["port"], "requestPath": own["health_path"], "intervalInSeconds": 5}
        rule = {
            "protocol": "Tcp",
            "frontendPort": own["port"],
            "backendPort": own["port"],
            "frontendIPConfiguration": {"id": f"{id}/frontendIPConfigurations/{self.FRONTEND}"},
            "backendAddressPool": {"id": f"{id}/backendAddressPools/{self.POOL}"},
            "probe": {"id": f"{id}/probes/{self.PROBE}"},
            "enableTcpReset": True,
            "idleTimeoutInMinutes": 30,
            # The way out is the machines' own: the endpoint's address is not for that.
            "disableOutboundSnat": True,
        }
        return {
            "sku": {"name": "Standard"},
            "properties": {
                "frontendIPConfigurations": [{"name": self.FRONTEND, "properties": frontend}],
                "backendAddressPools": [{"name": self.POOL}],
                "probes": [{"name": self.PROBE, "properties": {**probe, "numberOfProbes": 1, "probeThreshold": 2}}],
                "loadBalancingRules": [{"name": "api", "properties": rule}],
            },
        }


# What Azure tells of a rule and refuses, or ignores, when it is sent.
READ_ONLY = frozenset({"provisioningState"})


def _writable(properties: Json) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in READ_ONLY}
