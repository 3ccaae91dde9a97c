# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure by our own resource manager: its virtual machines, load balancers and DNS records."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from azure_arm.arm import SUBSCRIPTION, TENANT, Arm
from azure_arm.behaviour import at

from .model import Balancer, Instance, World

LOCATION = "westeurope"
GROUP = "network-team"
ZONE = "example.org"
Json = dict[str, Any]


class Azure:
    tls = True

    def __init__(self, url: str, console: Callable[[str], str], directory: Path, secret: str) -> None:
        self.url = url
        self.directory = directory
        self.arm = Arm(secret)
        self.arm.consoles = lambda machine: console(machine.rsplit("/", 1)[1])
        self.application = self.arm

    def prepare(self) -> None:
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
        self.arm.add(group, {"location": LOCATION})
        zone = {"location": "global", "properties": {"zoneType": "Public"}}
        self.arm.add(f"{group}/providers/Microsoft.Network/dnsZones/{ZONE}", zone)

    def stop(self) -> None:
        pass

    def files(self) -> dict[str, str]:
        settings = {
            "subscription_id": SUBSCRIPTION,
            "tenant_id": TENANT,
            "location": LOCATION,
            "resource_manager": self.url,
            "authority": self.url,
            "ca_file": str(self.directory / "ca.crt"),
        }
        return {"settings.json": json.dumps(settings)}

    def world(self) -> World:
        with self.arm.lock:
            resources = json.loads(json.dumps(self.arm.resources))
            first_boots = dict(self.arm.behaviour.first_boots)
        names = {name: tuple(values) for name, values in _names(resources)}
        return World(tuple(_instances(resources, first_boots)), tuple(_balancers(resources)), names)


def _of(resources: dict[str, Json], type: str) -> Iterator[tuple[str, Json]]:
    for key, one in sorted(resources.items()):
        if one["type"].lower() == type:
            yield key, one


def _address(resources: dict[str, Json], interface: str) -> str:
    parts = resources[interface.lower()]["properties"]["ipConfigurations"]
    return str(parts[0]["properties"]["privateIPAddress"])


def _instances(resources: dict[str, Json], first_boots: dict[str, str]) -> Iterator[Instance]:
    for key, one in _of(resources, "microsoft.compute/virtualmachines"):
        own = one["properties"]
        codes = [status["code"] for status in at(own, "instanceView.statuses") or ()]
        text = base64.b64decode(first_boots.get(key, "")).decode()
        interface = own["networkProfile"]["networkInterfaces"][0]["id"]
        yield Instance(
            one["name"].lower(),
            _address(resources, interface),
            own["osProfile"]["adminUsername"],
            text,
            "PowerState/running" in codes,
        )


def _balancers(resources: dict[str, Json]) -> Iterator[Balancer]:
    for _key, one in _of(resources, "microsoft.network/loadbalancers"):
        for rule in one["properties"].get("loadBalancingRules") or ():
            own = rule["properties"]
            front = resources[own["frontendIPConfiguration"]["id"].lower()]["properties"]
            public = (front.get("publicIPAddress") or {}).get("id", "").lower()
            probe = resources[own["probe"]["id"].lower()]["properties"]
            targets = tuple((address, own["backendPort"]) for address in _members(resources, _pool(own)))
            yield Balancer(
                one["name"],
                resources[public]["properties"]["ipAddress"] if public else front["privateIPAddress"],
                own["frontendPort"],
                probe["requestPath"],
                targets,
            )


def _pool(rule: Json) -> str:
    pool = rule.get("backendAddressPool") or (rule.get("backendAddressPools") or [{"id": ""}])[0]
    return str(pool["id"]).lower()


def _members(resources: dict[str, Json], pool: str) -> Iterator[str]:
    """The interfaces that say that they are in the pool."""
    for _key, one in _of(resources, "microsoft.network/networkinterfaces"):
        for part in one["properties"]["ipConfigurations"]:
            pools = part["properties"].get("loadBalancerBackendAddressPools") or ()
            if pool in [found["id"].lower() for found in pools]:
                yield part["properties"]["privateIPAddress"]


def _names(resources: dict[str, Json]) -> Iterator[tuple[str, list[str]]]:
    for key, one in _of(resources, "microsoft.network/dnszones/a"):
        zone = key.split("/dnszones/")[1].split("/")[0]
        name = one["name"]
        yield (
            (zone if name == "@" else f"{name}.{zone}"),
            [record["ipv4Address"] for record in one["properties"].get("ARecords") or ()],
        )
