# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack: machines of Nova, networks of Neutron, disks of Cinder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .. import capabilities
from ..base import Handler, Strategy
from ..errors import Problem, ProviderError
from ..model import Found, Plan, Resource
from ..outputs import Outputs
from ..ownership import Ownership
from ..reader import nearest
from ..rfc2136.nameserver import UnauthorizedError, Zones
from ..rfc2136.records import Record, unauthorized
from ..rfc2136.settings import NameServer
from ..spec import Spec
from . import checks
from .api import Api
from .desired import Desired
from .firewall import SecurityGroup
from .machines import Machine, ServerGroup, console
from .network import FloatingIp, Network, Port, Router, Subnet
from .offer import Offer
from .outputs import outputs
from .preflight import Preflight
from .settings import Settings
from .volumes import Volume

# More zones than this make etcd slower and nothing safer.
ZONES = 3
SERVICES = ("compute", "network", "volume", "image")


class OpenStack(Strategy):
    NAME = "openstack"
    PACKAGES = ("openstacksdk",)
    CAPABILITIES = frozenset({capabilities.VOLUME, capabilities.CONSOLE})
    FALLBACKS: ClassVar[Mapping[str, str]] = {
        capabilities.BUCKET: "an S3 server of yours (machines with the role object_store)",
        capabilities.BUCKET_LOCK: "the lock of that S3 server",
        capabilities.IDENTITY: "application credentials of yours, in the variables of the roles that need them",
        capabilities.DNS: "records in a zone of your name server, by RFC 2136 (settings.dns)",
        capabilities.KEY: "the cloud's own keys, by settings.encrypted_volume_types",
    }
    # The endpoint's address is one that Neutron has chosen.
    INVENTORY_KINDS = ("port",)

    def __init__(self, spec: Spec, settings: Mapping[str, Any]) -> None:
        super().__init__(spec, settings)
        # Names of metadata hold no slashes here.
        self.ownership = Ownership.of(spec, separator=".")
        self.openstack = Settings.read(settings, [])
        self.api = Api(self.openstack)
        self.offer = Offer(self.api)
        self.names = Zones(self.openstack.dns or NameServer(), self.openstack.tsig)
        self.zones: tuple[str, ...] = ()
        self.volume_zones: dict[str, str] = {}
        self.external = ""

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> list[Problem]:
        return checks.settings(settings)

    def validate(self) -> list[Problem]:
        return checks.description(self.spec, self.openstack)

    def connect(self) -> list[Problem]:
        try:
            missing = [service for service in SERVICES if not self.api.has(service)]
        except ProviderError as error:
            if str(error).startswith("credentials"):
                wanted = "those of a user who is a member of the project"
                change = "infrastructure_settings.cloud (clouds.yaml), or the environment (OS_CLOUD, OS_AUTH_URL, ...)"
                return [Problem("credentials", str(error), wanted, change)]
            raise
        if missing:
            return [self._no_service(missing)]
        offered = self.offer.zones()
        self.zones = self.spec.failure_domains or offered[:ZONES]
        if any(pool.data_disks for pool in self.spec.pools):
            self.volume_zones = {zone: self.offer.volume_zone(zone) for zone in self.zones}
        return [
            *(
                Problem("failure domains", f"has {zone!r}", nearest(zone, offered), "infrastructure_failure_domains")
                for zone in self.spec.failure_domains
                if zone not in offered
            ),
            *self._outside(),
            *self._names(),
        ]

    def _no_service(self, missing: Sequence[str]) -> Problem:
        """A region that is not there has no services at all."""
        regions, region = self.api.regions(), self.api.region()
        if region not in regions:
            change = "infrastructure_settings.region, or clouds.yaml"
            return Problem("settings", f"region is {region!r}", nearest(region, regions), change)
        names = ", ".join(missing)
        return Problem(
            "credentials", f"the cloud has no service {names}", "one that has", "infrastructure_settings.cloud"
        )

    def _outside(self) -> list[Problem]:
        """Which network leads outside."""
        spec, name = self.spec, self.openstack.external_network
        public = spec.endpoint.public and spec.endpoint.mode in ("auto", "vip")
        if not (public or (spec.network.mode == "managed" and spec.network.egress != "none")):
            return []
        known = self.offer.external_networks()
        found = {known[one] for one in known if name in ("", one, known[one])}
        if len(found) == 1:
            self.external = found.pop()
            return []
        seen = f"external_network is {name!r}" if name else "external_network is not set"
        return [Problem("settings", seen, nearest(name, known), "infrastructure_settings.external_network")]

    @property
    def _zone(self) -> str:
        """The zone that has the endpoint's record; empty where that is made by somebody else."""
        return self.spec.dns.zone if self.spec.dns.manage and self.openstack.dns else ""

    def _names(self) -> list[Problem]:
        """Whether the name server lets us."""
        try:
            if self._zone:
                self.names.read(self._zone)
        except UnauthorizedError as error:
            return [unauthorized(error)]
        return []

    def failure_domains(self) -> tuple[str, ...]:
        return self.zones

    def handlers(self) -> Mapping[str, Handler]:
        api, own = self.api, self.ownership
        found: list[Handler] = [
            *(kind(api, own) for kind in (Network, Subnet, Router, SecurityGroup, Port, FloatingIp)),
            ServerGroup(api, own),
            Machine(api, own, self.offer),
            Volume(api, own),
            Record(self.names, self._zone, own),
        ]
        return {handler.kind.name: handler for handler in found}

    def desired(self, failure_domains: Sequence[str]) -> list[Resource]:
        return Desired(self.spec, self.openstack, failure_domains, self.volume_zones, self.external).resources()

    def preflight(self, plan: Plan) -> list[Problem]:
        return Preflight(self.api, self.offer, self.names, self.spec, plan).problems()

    def console(self, machine: str) -> str:
        return console(self.api, machine)

    def outputs(self, world: Mapping[str, Found]) -> Outputs:
        mode = capabilities.endpoint_mode(self.spec, self.CAPABILITIES, self.NAME).chosen
        return outputs(self.spec, self.openstack, mode, world)
