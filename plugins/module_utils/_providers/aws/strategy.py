# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS: machines on EC2, a Network Load Balancer, Route 53, S3, KMS and IAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import capabilities
from ..base import Handler, Strategy
from ..errors import Problem, ProviderError
from ..model import Found, Plan, Resource
from ..outputs import Outputs
from ..reader import nearest
from ..spec import Spec
from . import checks
from .api import Api
from .balancer import Balancer, Listener, Target, TargetGroup
from .desired import Desired
from .firewall import SecurityGroup
from .identity import Identity
from .machines import Machine, console
from .names import Record
from .network import ElasticIp, InternetGateway, NatGateway, RouteTable, Subnet, Vpc
from .outputs import outputs
from .preflight import Preflight
from .settings import NativeNetwork, Settings
from .storage import Bucket, Key
from .volumes import Volume

# More zones than this make etcd slower and nothing safer.
ZONES = 3
UNAUTHORIZED = (
    "AuthFailure",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "RequestExpired",
    "OptInRequired",
    "UnauthorizedOperation",
    "AccessDenied",
    "credentials",
    "config profile",
)


class Aws(Strategy):
    NAME = "aws"
    PACKAGES = ("boto3",)
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
        self.aws = Settings.read(settings, [])
        self.api = Api(self.aws)
        self.zones: tuple[str, ...] = ()

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> list[Problem]:
        return checks.settings(settings)

    def validate(self) -> list[Problem]:
        return checks.description(self.spec)

    def connect(self) -> list[Problem]:
        try:
            answer = self.api.call("ec2", "describe_availability_zones")
        except ProviderError as error:
            if any(word in str(error) for word in UNAUTHORIZED):
                wanted = f"credentials that may use {self.aws.region}"
                return [Problem("credentials", str(error), wanted, "the profile or the environment (AWS_PROFILE, ...)")]
            raise
        offered = sorted(
            zone["ZoneName"]
            for zone in answer["AvailabilityZones"]
            if zone["State"] == "available" and zone.get("ZoneType", "availability-zone") == "availability-zone"
        )
        unknown = [zone for zone in self.spec.failure_domains if zone not in offered]
        subnets = NativeNetwork.read(self.spec, []).subnet_ids
        self.zones = self.spec.failure_domains or tuple(sorted(subnets) if subnets else offered)[:ZONES]
        return [
            Problem("failure domains", f"has {zone!r}", nearest(zone, offered), "infrastructure_failure_domains")
            for zone in unknown
        ]

    def failure_domains(self) -> tuple[str, ...]:
        return self.zones

    def handlers(self) -> Mapping[str, Handler]:
        api, own = self.api, self.ownership
        machines, groups, balancer = Machine(api, own), TargetGroup(api, own), Balancer(api, own)
        found: list[Handler] = [
            *(kind(api, own) for kind in (Vpc, InternetGateway, Subnet, ElasticIp, NatGateway, RouteTable)),
            *(kind(api, own) for kind in (SecurityGroup, Key, Bucket, Identity)),
            machines,
            Volume(api, own),
            balancer,
            groups,
            Listener(balancer),
            Target(groups, machines),
            Record(api, own, self.spec),
        ]
        return {handler.kind.name: handler for handler in found}

    def desired(self, failure_domains: Sequence[str]) -> list[Resource]:
        return Desired(self.spec, self.aws, failure_domains).resources()

    def preflight(self, plan: Plan) -> list[Problem]:
        return Preflight(self.api, self.spec, plan).problems()

    def console(self, machine: str) -> str:
        return console(self.api, machine)

    def outputs(self, world: Mapping[str, Found]) -> Outputs:
        return outputs(self.spec, self.aws.region, world)
