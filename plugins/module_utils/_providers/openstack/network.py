# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: one subnet, a router to the outside, addresses, and what machines are connected by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ProviderError
from ..model import Change, Found, Kind, Properties, Resource
from .neutron import Json, NeutronHandler, PlainHandler

ROUTER_INTERFACES = [
    "network:router_interface",
    "network:ha_router_replicated_interface",
    "network:router_interface_distributed",
]


class Network(PlainHandler):
    kind = Kind("network", mutable=frozenset({"up"}), replaceable=False)
    NOUN, PATH = "network", "networks"

    def properties(self, item: Json) -> Properties:
        return {"up": item["admin_state_up"]}

    def details(self, item: Json) -> Properties:
        return {"mtu": item.get("mtu") or 0}

    def body(self, own: Properties, new: bool) -> dict[str, Any]:
        return {"admin_state_up": own["up"]}


class Subnet(PlainHandler):
    """dns_servers: in the order in which they are asked."""

    kind = Kind("subnet", needs=("network",), mutable=frozenset({"dhcp", "dns_servers"}), replaceable=False)
    NOUN, PATH = "subnet", "subnets"

    def properties(self, item: Json) -> Properties:
        return {
            "network": item["network_id"],
            "cidr": item["cidr"],
            "dhcp": item["enable_dhcp"],
            "dns_servers": list(item["dns_nameservers"]),
        }

    def body(self, own: Properties, new: bool) -> dict[str, Any]:
        changing = {"enable_dhcp": own["dhcp"], "dns_nameservers": own["dns_servers"]}
        fixed = {"network_id": own["network"], "cidr": own["cidr"], "ip_version": 6 if ":" in own["cidr"] else 4}
        return {**changing, **(fixed if new else {})}


class Router(NeutronHandler):
    """external: the network outside; subnets: those that it leads out of, sorted."""

    kind = Kind(
        "router",
        needs=("subnet",),
        mutable=frozenset({"external", "subnets"}),
        unordered=frozenset({"subnets"}),
        replaceable=False,
    )
    NOUN, PATH = "router", "routers"

    def observe(self) -> Iterator[Found]:
        """With the subnets, which are ports: one list more, whatever their number."""
        routers = list(super().observe())
        subnets: dict[str, list[str]] = {}
        if routers:
            for port in self.list("ports", device_owner=ROUTER_INTERFACES):
                subnets.setdefault(port["device_id"], []).extend(one["subnet_id"] for one in port["fixed_ips"])
        for one in routers:
            yield replace(one, properties={**one.properties, "subnets": sorted(subnets.get(one.id, ()))})

    def properties(self, item: Json) -> Properties:
        return {"external": (item.get("external_gateway_info") or {}).get("network_id"), "subnets": []}

    def create(self, wanted: Resource, token: str) -> Found:
        outside = {"external_gateway_info": {"network_id": wanted.properties["external"]}}
        return self._connect(self.found(self.post(wanted, outside)), wanted)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._connect(found, wanted)

    def _connect(self, found: Found, wanted: Resource) -> Found:
        for subnet in wanted.properties["subnets"]:
            if subnet not in found.properties["subnets"]:
                self._interface("add", found, subnet)
        for subnet in found.properties["subnets"]:
            if subnet not in wanted.properties["subnets"]:
                self._interface("remove", found, subnet)
        outside = {"external_gateway_info": {"network_id": wanted.properties["external"]}}
        made = self.found(self.put(wanted, found.id, outside))
        return replace(made, properties={**made.properties, "subnets": wanted.properties["subnets"]})

    def _interface(self, verb: str, found: Found, subnet: str) -> None:
        path = f"/routers/{found.id}/{verb}_router_interface"
        try:
            self.api.call("network", "PUT", path, {"subnet_id": subnet}, about=found.key, gone=verb == "remove")
        except ProviderError as error:
            # An interrupted run may have connected it when the list did not tell so yet.
            if "already has a port on subnet" not in str(error):
                raise

    def delete(self, found: Found) -> None:
        for subnet in found.properties["subnets"]:
            self._interface("remove", found, subnet)
        super().delete(found)


class Port(PlainHandler):
    """What a machine is connected by; it stays when its machine is replaced, and so does its address.

    shared: further addresses that the machine may take over. A port of no machine keeps such an address free.
    """

    kind = Kind(
        "port",
        needs=("subnet", "security_group"),
        mutable=frozenset({"security_groups", "shared"}),
        unordered=frozenset({"security_groups", "shared"}),
    )
    NOUN, PATH = "port", "ports"

    def properties(self, item: Json) -> Properties:
        return {
            "subnet": next((one["subnet_id"] for one in item["fixed_ips"]), None),
            "security_groups": sorted(item["security_groups"]),
            "shared": sorted(one["ip_address"] for one in item.get("allowed_address_pairs") or ()),
        }

    def details(self, item: Json) -> Properties:
        return {"address": next((one["ip_address"] for one in item["fixed_ips"]), ""), "network": item["network_id"]}

    def body(self, own: Properties, new: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "security_groups": own["security_groups"],
            "allowed_address_pairs": [{"ip_address": address} for address in own["shared"]],
        }
        if new:
            subnet = self.api.call("network", "GET", f"/subnets/{own['subnet']}")["subnet"]
            body |= {"network_id": subnet["network_id"], "fixed_ips": [{"subnet_id": own["subnet"]}]}
        return body


class FloatingIp(PlainHandler):
    """An address outside that leads to a port. router: what has to be there before."""

    kind = Kind("floating_ip", needs=("port", "router"), mutable=frozenset({"port"}), create_only=frozenset({"router"}))
    NOUN, PATH = "floatingip", "floatingips"

    def properties(self, item: Json) -> Properties:
        return {"external": item["floating_network_id"], "port": item["port_id"]}

    def details(self, item: Json) -> Properties:
        return {"address": item["floating_ip_address"]}

    def post(self, wanted: Resource, body: Json, stamp: str = "") -> dict[str, Any]:
        # It has no name.
        return self._sent(
            "POST", f"/{self.PATH}", wanted, {"description": self.description(wanted.name, stamp), **body}
        )

    def body(self, own: Properties, new: bool) -> dict[str, Any]:
        return {"port_id": own["port"], **({"floating_network_id": own["external"]} if new else {})}
