# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure: virtual machines, a Standard Load Balancer, Azure DNS, blob storage, Key Vault and managed identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import capabilities
from ..base import Handler, Strategy
from ..errors import Problem, ProviderError
from ..model import Found, Plan, Resource
from ..outputs import Outputs
from ..ownership import Ownership
from ..reader import nearest
from ..spec import Spec
from . import checks
from .access import Grant, Identity
from .api import Api
from .arm import Place
from .console import console
from .desired import Desired
from .dns import Record, Zone
from .keys import Key, Vault
from .machines import Machine, Volume
from .network import Address, Balancer, Group, Interface, Nat, Network, SecurityGroup
from .outputs import outputs
from .preflight import Preflight
from .settings import Settings
from .storage import Bucket

# More zones than this make etcd slower and nothing safer.
ZONES = 3
UNAUTHORIZED = ("credentials", "AuthenticationFailed", "AuthorizationFailed", "InvalidAuthenticationToken", "AADSTS")
UNKNOWN = ("SubscriptionNotFound", "InvalidSubscriptionId")


class Azure(Strategy):
    NAME = "azure"
    PACKAGES = (
        "azure-identity",
        *(
            f"azure-mgmt-{name}"
            for name in ("authorization", "compute", "dns", "keyvault", "msi", "network", "resource", "storage")
        ),
    )
    CAPABILITIES = frozenset(
        {
            capabilities.BALANCER,
            capabilities.DNS,
            capabilities.BUCKET,
            capabilities.BUCKET_LOCK,
            capabilities.IDENTITY,
            capabilities.KEY,
            capabilities.VOLUME,
            capabilities.PREEMPTIBLE,
            capabilities.CONSOLE,
        }
    )

    def __init__(self, spec: Spec, settings: Mapping[str, Any]) -> None:
        super().__init__(spec, settings)
        # Names of tags hold no slashes here.
        self.ownership = Ownership.of(spec, separator=".")
        self.azure = Settings.read(settings, [])
        self.api = Api(self.azure)
        self.place = Place(self.api, self.ownership)
        self.zone = Zone(self.place, spec)
        self.zones: tuple[str, ...] = ()

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> list[Problem]:
        return checks.settings(settings)

    def validate(self) -> list[Problem]:
        return checks.description(self.spec, self.azure)

    def connect(self) -> list[Problem]:
        try:
            answer = self.api.call("resource.providers.get", "Microsoft.Compute")
        except ProviderError as error:
            if any(word in str(error) for word in UNAUTHORIZED):
                wanted = f"credentials that may use the subscription {self.azure.subscription_id}"
                change = "the environment (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, ...), or az login"
                return [Problem("credentials", str(error), wanted, change)]
            if any(word in str(error) for word in UNKNOWN):
                wanted = "one that the credentials may use"
                return [Problem("settings", str(error), wanted, "infrastructure_settings.subscription_id")]
            raise
        types = {item["resourceType"]: item for item in answer["resourceTypes"]}
        return [*self._places(types["virtualMachines"])]

    def _places(self, machines: Mapping[str, Any]) -> list[Problem]:
        known = {_short(place) for place in machines.get("locations") or ()}
        here = self.azure.location
        if here not in known:
            change = "infrastructure_settings.location"
            return [Problem("settings", f"location is {here!r}", nearest(here, known), change)]
        mappings = machines.get("zoneMappings") or ()
        offered = sorted(zone for one in mappings if _short(one["location"]) == here for zone in one.get("zones") or ())
        self.zones = self.spec.failure_domains or tuple(offered[:ZONES])
        return [
            Problem("failure domains", f"has {zone!r}", nearest(zone, offered), "infrastructure_failure_domains")
            for zone in self.spec.failure_domains
            if zone not in offered
        ]

    def failure_domains(self) -> tuple[str, ...]:
        return self.zones

    def handlers(self) -> Mapping[str, Handler]:
        place = self.place
        found: list[Handler] = [
            *(kind(place) for kind in (Group, SecurityGroup, Address, Nat, Network, Interface, Balancer)),
            *(kind(place) for kind in (Vault, Key, Bucket, Identity, Machine, Volume)),
            Grant(place, self.zone),
            Record(place, self.zone),
        ]
        return {handler.kind.name: handler for handler in found}

    def desired(self, failure_domains: Sequence[str]) -> list[Resource]:
        return Desired(self.spec, self.azure, failure_domains, self.zone.id()).resources()

    def preflight(self, plan: Plan) -> list[Problem]:
        return Preflight(self.place, self.spec.network.cidr, self.handlers(), plan).problems()

    def console(self, machine: str) -> str:
        return console(self.place, machine)

    def outputs(self, world: Mapping[str, Found]) -> Outputs:
        return outputs(self.spec, self.azure, world)


def _short(place: str) -> str:
    """`West Europe` as locations are called elsewhere."""
    return place.replace(" ", "").lower()
