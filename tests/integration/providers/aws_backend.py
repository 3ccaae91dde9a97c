# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS by moto's server, in this process, with our middleware in front of it."""

from __future__ import annotations

import functools
import json
import os
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

# moto reads its images when it is imported, and lists its own hundreds of them for a second at every start.
os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("aws_images.json"))

import boto3
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.api import Api
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.settings import Settings
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.strategy import Aws
from ansible_collections.caravan.cluster.plugins.module_utils._providers.base import Strategy
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from backend import Drifted, portable
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from serving import Lasting
from traffic import Answer, Dialect, Environ, Request, Traffic
from werkzeug.serving import make_server

REGION = "eu-central-1"
READING = ("Describe", "Get", "List", "Head")
LISTING = ("Describe", "List", "GetResources")
ZONE = "example.org"


def request(environ: Environ, body: bytes) -> Request:
    """The operation, from where each of AWS's protocols has it: a form's Action, a header, or the method."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        name = target.rpartition(".")[2]
        return Request(target, not name.startswith(READING), name.startswith(LISTING))
    if b"Action=" in body:
        name = parse_qs(body.decode())["Action"][0]
    else:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        name = f"{environ['REQUEST_METHOD'].title()} {path}" + (f"?{query}" if query else "")
        # S3's list of buckets, Route 53's of records, and the one of all that has certain tags.
        listing = path == "/" or path.endswith("/rrset") or path.endswith("/get-resources")
        return Request(name, environ["REQUEST_METHOD"] not in ("GET", "HEAD"), listing)
    return Request(name, not name.startswith(READING), name.startswith(LISTING))


def error(request: Request, status: str, code: str) -> Answer:
    """As the request's protocol has it: JSON for those with a target (`TrentService.CreateKey`), XML for all others."""
    if "." in request.name and "/" not in request.name:
        return Answer(status, json.dumps({"__type": code, "message": "test"}).encode(), "application/x-amz-json-1.1")
    one = f"<Error><Code>{code}</Code><Message>test</Message></Error>"
    return Answer(status, f"<ErrorResponse><Errors>{one}</Errors>{one}</ErrorResponse>".encode())


DIALECT = Dialect(
    request=request,
    throttled=lambda request: error(request, "503 Service Unavailable", "RequestLimitExceeded"),
    conflict=lambda request: error(request, "409 Conflict", "OperationAborted"),
    refused=lambda request: error(request, "400 Bad Request", "TestCrashed"),
)


class Moto(DomainDispatcherApplication):
    """Which of moto's services a request is for. moto lists its own directory to find it out, at every request."""

    @functools.cache  # noqa: B019  there is one of it
    def get_backend_for_host(self, host: str | None) -> Any:
        return super().get_backend_for_host(host)


class Handler(Lasting, MotoRequestHandler):
    """moto keeps the names of headers as they were sent."""


class AwsBackend:
    # What EC2 and the others have no call to change. A bucket with a lock keeps its versions.
    fixed = frozenset(
        """
        balancer.public bucket.lockable bucket.versioning listener.balancer machine.failure_domain machine.preemptible
        machine.subnet route_table.vpc security_group.vpc subnet.cidr subnet.vpc subnet.zone target.machine
        target.target_group target_group.port target_group.vpc volume.encrypted volume.failure_domain volume.key
        vpc.cidr
        """.split()
    )
    patience = Patience(limit=20, first=0.005, longest=0.05)

    def __init__(self) -> None:
        self.traffic = Traffic(DIALECT)
        application = self.traffic.around(Moto(create_backend_app))
        self.server = make_server("127.0.0.1", free_port(), application, True, request_handler=Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        # The SDK's own variables: nothing in the product knows of a stand-in.
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        os.environ.update(self.environment)
        self.ec2 = boto3.client("ec2", region_name=REGION)
        self.s3 = boto3.client("s3", region_name=REGION)
        self.kms = boto3.client("kms", region_name=REGION)
        self.iam = boto3.client("iam", region_name=REGION)
        self.elb = boto3.client("elbv2", region_name=REGION)
        self.dns = boto3.client("route53", region_name=REGION)
        self.api = Api(Settings(REGION))
        self.reset()

    def reset(self) -> None:
        self.traffic.calm()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST"))
        self.zone = self.dns.create_hosted_zone(Name=ZONE, CallerReference="test")["HostedZone"]["Id"]
        self.traffic.clear()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        for name in self.environment:
            os.environ.pop(name, None)

    def description(self, name: str = "demo", **changes: Any) -> dict[str, Any]:
        return portable(ZONE, name, grants=["bucket.write", "key.use", "volume.attach"], **changes)

    def strategy(self, description: dict[str, Any]) -> Strategy:
        strategy = Aws(spec_read.read(description), {"region": REGION})
        # boto3 takes a tenth of a second for each client, and a test has many strategies: they share theirs.
        strategy.api = self.api
        return strategy

    def everything(self) -> frozenset[str]:
        """Whatever moto holds of the kinds that a cluster could leave behind, except what every account comes with."""
        ec2, vpcs = self.ec2, [vpc["VpcId"] for vpc in self.ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
        instances = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
        found = [
            *vpcs,
            *(one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"),
            *(one["SubnetId"] for one in ec2.describe_subnets()["Subnets"] if one["VpcId"] in vpcs),
            *(one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"] if one["VpcId"] in vpcs),
            *(one["RouteTableId"] for one in ec2.describe_route_tables()["RouteTables"] if one["VpcId"] in vpcs),
            *(one["InternetGatewayId"] for one in ec2.describe_internet_gateways()["InternetGateways"]),
            *(one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]),
            *(one["AllocationId"] for one in ec2.describe_addresses()["Addresses"]),
            *(one["LoadBalancerArn"] for one in self.elb.describe_load_balancers()["LoadBalancers"]),
            *(one["TargetGroupArn"] for one in self.elb.describe_target_groups()["TargetGroups"]),
            *(one["Name"] for one in self.s3.list_buckets()["Buckets"]),
            *(one["RoleName"] for one in self.iam.list_roles()["Roles"]),
            *(one["InstanceProfileName"] for one in self.iam.list_instance_profiles()["InstanceProfiles"]),
            *(key["KeyId"] for key in self.kms.list_keys()["Keys"] if self._lives(key["KeyId"])),
            *(
                f"{one['Name']} {one['Type']}"
                for one in self.dns.list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
            ),
        ]
        return frozenset(found)

    def _lives(self, key: str) -> bool:
        state: str = self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
        return state != "PendingDeletion"

    def drifts(self, engine: Any) -> Sequence[Drifted]:
        ids = {key: one.id for key, one in engine.world.items()}
        group, machine = ids["security_group/etcd"], ids["machine/worker-1"]
        subnet = next(id for key, id in ids.items() if key.startswith("subnet/"))
        zone = next(key for key, id in ids.items() if id == subnet)
        bucket, role = ids["bucket/backup"], ids["identity/nodes"]
        rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        values = {"Name": f"api.demo.{ZONE}", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.9"}]}
        batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": values}]}
        attributes = [{"Key": "load_balancing.cross_zone.enabled", "Value": "false"}]
        balancer, targets, listener = ids["balancer/api"], ids["target_group/api"], ids["listener/api"]
        ec2, s3, elb, table, vpc = self.ec2, self.s3, self.elb, ids["route_table/main"], ids["vpc/main"]
        volume, first = ids["volume/worker-1-data"], ids["machine/cp-1"]
        association = next(iter(engine.world["route_table/main"].details["associations"].values()))
        others = engine.world["balancer/api"].properties["subnets"][1:]

        def resize() -> None:
            ec2.stop_instances(InstanceIds=[first])
            ec2.modify_instance_attribute(InstanceId=first, InstanceType={"Value": "m7i.4xlarge"})

        def retarget() -> None:
            group = elb.create_target_group(Name="theirs", Protocol="TCP", Port=443, VpcId=vpc, TargetType="instance")
            arn = group["TargetGroups"][0]["TargetGroupArn"]
            elb.modify_listener(
                ListenerArn=listener, Port=8443, DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}]
            )

        def tag(id: str, name: str, value: str) -> Callable[[], object]:
            return lambda: ec2.create_tags(Resources=[id], Tags=[{"Key": f"caravan.cluster/{name}", "Value": value}])

        def nothing() -> None:
            """The change before has done it, too."""

        return [
            Drifted(
                "vpc/main",
                "dns_hostnames",
                lambda: ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False}),
            ),
            Drifted(
                zone,
                "public",
                lambda: ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False}),
            ),
            Drifted(
                "route_table/main",
                "routes",
                lambda: ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0"),
            ),
            Drifted("route_table/main", "subnets", lambda: ec2.disassociate_route_table(AssociationId=association)),
            Drifted(
                "internet_gateway/main",
                "vpc",
                lambda: ec2.detach_internet_gateway(InternetGatewayId=ids["internet_gateway/main"], VpcId=vpc),
            ),
            Drifted(
                "security_group/etcd",
                "ingress",
                lambda: ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule]),
            ),
            Drifted("machine/cp-1", "size", resize),
            Drifted("machine/cp-1", "image", tag(first, "image", "debian/11")),
            Drifted("machine/cp-1", "root_disk", tag(first, "root-disk", "8 gp2 plain")),
            Drifted("machine/worker-1", "pool", tag(machine, "pool", "theirs")),
            Drifted("machine/worker-1", "roles", tag(machine, "roles", "mirror")),
            Drifted("machine/worker-1", "running", lambda: ec2.stop_instances(InstanceIds=[machine])),
            Drifted(
                "machine/worker-1",
                "identity",
                lambda: ec2.associate_iam_instance_profile(IamInstanceProfile={"Name": role}, InstanceId=machine),
            ),
            Drifted(
                "machine/worker-1",
                "security_groups",
                lambda: ec2.modify_instance_attribute(InstanceId=machine, Groups=[group]),
            ),
            Drifted(
                "volume/worker-1-data",
                "attached_to",
                lambda: ec2.detach_volume(VolumeId=volume, InstanceId=machine),
            ),
            Drifted("volume/worker-1-data", "type", lambda: ec2.modify_volume(VolumeId=volume, VolumeType="st1")),
            Drifted(
                "volume/worker-1-data", "size_gib", lambda: ec2.modify_volume(VolumeId=volume, Size=150), lasting=True
            ),
            Drifted("key/disks", "rotation", lambda: self.kms.disable_key_rotation(KeyId=ids["key/disks"])),
            Drifted("bucket/backup", "closed", lambda: s3.delete_public_access_block(Bucket=bucket)),
            Drifted(
                "bucket/backup",
                "lock_days",
                lambda: s3.put_object_lock_configuration(
                    Bucket=bucket,
                    ObjectLockConfiguration={
                        "ObjectLockEnabled": "Enabled",
                        "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
                    },
                ),
            ),
            Drifted(
                "identity/nodes",
                "policy",
                lambda: self.iam.delete_role_policy(RoleName=role, PolicyName="caravan"),
            ),
            Drifted(
                "identity/nodes",
                "profile",
                lambda: self.iam.remove_role_from_instance_profile(InstanceProfileName=role, RoleName=role),
            ),
            Drifted(
                "balancer/api",
                "cross_zone",
                lambda: elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=attributes),
            ),
            Drifted(
                "target_group/api",
                "health_path",
                lambda: elb.modify_target_group(TargetGroupArn=targets, HealthCheckPath="/healthz"),
            ),
            Drifted("balancer/api", "subnets", lambda: elb.set_subnets(LoadBalancerArn=balancer, Subnets=others)),
            Drifted("listener/api", "target_group", retarget),
            Drifted("listener/api", "port", nothing),
            Drifted(
                "record/api",
                "alias",
                lambda: self.dns.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=batch),
            ),
            Drifted("record/api", "values", nothing),
        ]
