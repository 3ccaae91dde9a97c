# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security groups, one for each role of machines, made from the port table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .neutron import Json, NeutronHandler

Rule = list  # [protocol, first port, last port, network]; ports are None where the protocol has none
ANYBODY = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}


class SecurityGroup(NeutronHandler):
    """ingress: what may come in. Everything may go out, which is what Neutron gives a new group."""

    kind = Kind("security_group", mutable=frozenset({"ingress"}), replaceable=False)
    NOUN, PATH = "security_group", "security-groups"

    def properties(self, item: Json) -> Properties:
        return {"ingress": rules(item["security_group_rules"])}

    def details(self, item: Json) -> Properties:
        """The ids of the rules, by their text: a rule is taken away by its id."""
        return {"ids": {str(_rule(one)): one["id"] for one in _ingress(item["security_group_rules"])}}

    def create(self, wanted: Resource, token: str) -> Found:
        return self._complete(self.found(self.post(wanted, {})), wanted)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(found, wanted)

    def _complete(self, found: Found, wanted: Resource) -> Found:
        # What is allowed anew comes first: nobody is cut off in between.
        current, ingress = found.properties["ingress"], wanted.properties["ingress"]
        new = [_body(found.id, rule) for rule in ingress if rule not in current]
        if new:
            body = {"security_group_rules": new}
            self.api.call("network", "POST", "/security-group-rules", body, about=wanted.key)
        for rule in current:
            if rule not in ingress:
                path = f"/security-group-rules/{found.details['ids'][str(rule)]}"
                self.api.call("network", "DELETE", path, about=wanted.key, gone=True)
        self.put(wanted, found.id, {})
        return Found(found.kind, found.name, found.id, wanted.properties, wanted.stamp)


def _ingress(items: Iterable[Json]) -> list[Json]:
    return [one for one in items if one["direction"] == "ingress"]


def _rule(item: Json) -> Rule:
    source = item.get("remote_ip_prefix") or item.get("remote_group_id") or item.get("remote_address_group_id")
    protocol = {"112": "vrrp"}.get(item.get("protocol") or "", item.get("protocol"))
    return [protocol, item["port_range_min"], item["port_range_max"], source or ANYBODY[item["ethertype"]]]


def rules(items: Iterable[Json]) -> list[Rule]:
    """Rules as Neutron gives them, sorted. Whatever is no network (another group) is a rule as well."""
    return sorted((_rule(one) for one in _ingress(items)), key=str)


def _body(group: str, rule: Rule) -> dict[str, Any]:
    protocol, first, last, network = rule
    return {
        "security_group_id": group,
        "direction": "ingress",
        "ethertype": "IPv6" if ":" in network else "IPv4",
        "protocol": protocol,
        "port_range_min": first,
        "port_range_max": last,
        "remote_ip_prefix": network,
    }
