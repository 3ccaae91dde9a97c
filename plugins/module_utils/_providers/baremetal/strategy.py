# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of one's own: Redfish for power and boot, DNS by dynamic update, servers as the inventory lists them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

from .. import capabilities
from ..base import Handler, Strategy
from ..errors import Problem
from ..model import Found, Plan, Resource
from ..outputs import Outputs
from ..reader import nearest
from ..rfc2136.claims import Claims
from ..rfc2136.nameserver import UnauthorizedError, Zones
from ..rfc2136.records import Record, unauthorized
from ..spec import Pool, Spec
from .allocation import Allocation, allocate
from .machines import Machine, claimed_server
from .outputs import outputs
from .preflight import problems
from .redfish import Redfish
from .settings import Settings

SERVERS = "infrastructure_settings.servers"


class Baremetal(Strategy):
    """Which server is which machine is decided with the claims that `connect` has read: see allocation.py."""

    NAME = "baremetal"
    PACKAGES = ("dnspython", "sushy")
    # A machine's disks are those that its server has.
    CAPABILITIES = frozenset({capabilities.DNS, capabilities.VOLUME})
    FALLBACKS: ClassVar[Mapping[str, str]] = {
        capabilities.BUCKET: "an S3 server of yours (machines with the role object_store, or settings.object_store)",
        capabilities.BUCKET_LOCK: "the lock of that S3 server",
        capabilities.IDENTITY: "credentials of yours, in the variables of the roles that need them",
        capabilities.KEY: "the encryption that the installed operating system or its disks bring along",
    }

    def __init__(self, spec: Spec, settings: Mapping[str, Any]) -> None:
        super().__init__(spec, settings)
        self.own = Settings.read(settings, [])
        self.zones = Zones(self.own.dns, self.own.secrets.tsig)
        self.zone = self.own.dns.zone or spec.dns.zone
        self.claims = Claims(self.zones, self.zone, "server", self.ownership)
        self.redfish = Redfish(self.own)
        self.allocation = Allocation({})
        self._claimed: dict[str, str] = {}
        self._taken: frozenset[str] = frozenset()

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> list[Problem]:
        found: list[Problem] = []
        Settings.read(settings, found)
        return found

    @property
    def mode(self) -> str:
        return capabilities.endpoint_mode(self.spec, self.CAPABILITIES, self.NAME).chosen

    def validate(self) -> list[Problem]:
        """What the settings and the description do not have in common."""
        spec, own = self.spec, self.own
        found = []
        if not self.zone:
            wanted = "the zone that says whose each server is"
            found.append(Problem("settings", "neither dns.zone nor infrastructure_dns.zone is set", wanted, "dns.zone"))
        if spec.dns.manage and self.mode == "vip" and not own.vip:
            wanted = "the address that keepalived moves between the control-plane nodes (api_endpoint_vip)"
            found.append(Problem("settings", "vip is not set", wanted, "infrastructure_settings.vip"))
        addresses = {f"server {server.name}": ("address", server.address) for server in own.servers}
        for subject, (name, address) in {**addresses, "settings": ("vip", own.vip)}.items():
            if address and not _inside(address, spec.network.cidr):
                wanted = f"an address in infrastructure_network.cidr ({spec.network.cidr})"
                found.append(Problem(subject, f"{name} is {address}", wanted, SERVERS if name == "address" else "vip"))
        seen: dict[str, str] = {own.vip: "the endpoint"} if own.vip else {}
        for server in own.servers:
            if server.address in seen:
                seen_by = f"address is {server.address}, which {seen[server.address]} has too"
                found.append(Problem(f"server {server.name}", seen_by, "an address of its own", SERVERS))
            seen.setdefault(server.address, f"server {server.name}")
        return found

    def connect(self) -> list[Problem]:
        zones = dict.fromkeys([self.zone, *([self.spec.dns.zone] if self.spec.dns.manage else [])])
        try:
            records = {zone: self.zones.read(zone) for zone in zones}
        except UnauthorizedError as error:
            return [unauthorized(error)]
        known = {server.name for server in self.own.servers}
        claims = {claimed_server(claim, self.zone): claim for claim in self.claims.all(records[self.zone])}
        self._taken = frozenset(claims)
        mine = {name: self.ownership.name(one.tags) for name, one in claims.items() if self.ownership.owns(one.tags)}
        self._claimed = {machine: name for name, machine in mine.items()}
        lost = [
            Problem(
                f"server {name}", f"is machine {machine}, and is not listed", "it, until the machine is gone", SERVERS
            )
            for name, machine in sorted(mine.items())
            if name not in known
        ]
        offered = sorted({server.failure_domain for server in self.own.servers})
        return lost + [
            Problem("failure domains", f"has {zone!r}", nearest(zone, offered), "infrastructure_failure_domains")
            for zone in self.spec.failure_domains
            if zone not in offered
        ]

    def failure_domains(self) -> tuple[str, ...]:
        return self.spec.failure_domains or tuple(sorted({server.failure_domain for server in self.own.servers}))

    def handlers(self) -> Mapping[str, Handler]:
        found = (
            Machine(self.claims, self.redfish, self.own, self.ownership),
            Record(self.zones, self.spec.dns.zone if self.spec.dns.manage else "", self.ownership),
        )
        return {handler.kind.name: handler for handler in found}

    def desired(self, failure_domains: Sequence[str]) -> list[Resource]:
        self.allocation = allocate(self.spec, self.own.servers, self._claimed, self._taken, failure_domains)
        machines = [self._machine(name, pool) for name, pool in self.spec.machines()]
        return machines + ([self._record()] if self.spec.dns.manage else [])

    def _machine(self, name: str, pool: Pool) -> Resource:
        server = self.allocation.servers.get(name)
        own = {
            "pool": pool.name,
            "roles": sorted(pool.roles),
            "image": str(pool.image),
            "server": server.name if server else "",
            "size": server.size if server else "",
            "failure_domain": server.failure_domain if server else "",
            "installed": True,
            "running": True,
            "boot": self._boot(name, pool, server.name if server else ""),
        }
        return Resource("machine", name, own, f"infrastructure_pools[{pool.name}]")

    def _boot(self, machine: str, pool: Pool, server: str) -> dict[str, str]:
        image = self.own.boot.image
        values = {"machine": machine, "server": server, "image": f"{pool.image.os}-{pool.image.version}"}
        for name, value in values.items():
            image = image.replace("{" + name + "}", value)
        return asdict(replace(self.own.boot, image=image))

    def _record(self) -> Resource:
        masters = [name for name, pool in self.spec.machines() if "control_plane" in pool.roles]
        addresses = [self.allocation.servers[name].address for name in masters if name in self.allocation.servers]
        values = [self.own.vip] if self.mode == "vip" else sorted(addresses)
        return Resource("record", "api", {"name": self.spec.endpoint.host, "values": values}, "infrastructure_dns")

    def preflight(self, plan: Plan) -> list[Problem]:
        return problems(plan, self.own, self.allocation, self.redfish, self.zones, self.spec)

    def outputs(self, world: Mapping[str, Found]) -> Outputs:
        return outputs(self.spec, self.own, self.mode, world)


def _inside(address: str, network: str) -> bool:
    return not network or ipaddress.ip_address(address) in ipaddress.ip_network(network)
