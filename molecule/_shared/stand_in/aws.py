# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS by moto: its instances, Network Load Balancers and hosted zones."""

from __future__ import annotations

import base64
import io
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from .model import FOLLOWING, Application, Balancer, Environ, Instance, World

REGION = "eu-central-1"
ZONE = "example.org"
# moto takes any.
KEYS = {"aws_access_key_id": "stand-in", "aws_secret_access_key": "stand-in"}
# The user of Debian's images.
USER = "admin"
CONSOLE = (
    '<GetConsoleOutputResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>0</requestId>'
    "<instanceId>{id}</instanceId><timestamp>2026-01-01T00:00:00.000Z</timestamp><output>{text}</output>"
    "</GetConsoleOutputResponse>"
)


class Aws:
    tls = False

    def __init__(self, url: str, console: Callable[[str], str]) -> None:
        self.url = url
        self.console = console
        self.application = self._around(DomainDispatcherApplication(create_backend_app))

    def _client(self, service: str) -> Any:
        client = boto3.client(service, region_name=REGION, endpoint_url=self.url, **KEYS)
        # Our own questions change nothing, and are no reason to look again.
        client.meta.events.register("before-send", _mark)
        return client

    def _around(self, application: Application) -> Application:
        """Consoles are the machines' own. moto has the same text for all of them."""

        def wrapped(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            if b"Action=GetConsoleOutput" not in body:
                return application(environ, start_response)
            id = parse_qs(body.decode())["InstanceId"][0]
            text = base64.b64encode(self.console(id).encode()).decode()
            answer = CONSOLE.format(id=escape(id), text=text).encode()
            start_response("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(answer)))])
            return [answer]

        return wrapped

    def prepare(self) -> None:
        self.ec2, self.elb, self.dns = self._client("ec2"), self._client("elbv2"), self._client("route53")
        # An image of the name that Debian's have; moto makes images only of instances.
        base = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        source = self.ec2.run_instances(ImageId=base, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        self.ec2.create_image(InstanceId=source, Name="debian-12-amd64-20260801")
        self.ec2.terminate_instances(InstanceIds=[source])
        self.dns.create_hosted_zone(Name=ZONE, CallerReference="stand-in")

    def stop(self) -> None:
        pass

    def files(self) -> dict[str, str]:
        """A configuration of the SDK's own kind: nothing in the product knows of a stand-in."""
        keys = "".join(f"{name} = {value}\n" for name, value in KEYS.items())
        return {"config": f"[default]\nregion = {REGION}\nendpoint_url = {self.url}\n{keys}"}

    def world(self) -> World:
        instances = tuple(self._instances())
        balancers = self._balancers({one.id: one.address for one in instances})
        addresses = {name: found[0].address for name, found in balancers.items() if found}
        names = {name: tuple(values) for name, values in self._names(addresses)}
        return World(instances, tuple(one for found in balancers.values() for one in found), names)

    def _instances(self) -> Iterator[Instance]:
        for page in self.ec2.get_paginator("describe_instances").paginate():
            for item in (one for reservation in page["Reservations"] for one in reservation["Instances"]):
                if item["State"]["Name"] not in ("shutting-down", "terminated"):
                    asked = {"InstanceId": item["InstanceId"], "Attribute": "userData"}
                    data = self.ec2.describe_instance_attribute(**asked)["UserData"].get("Value", "")
                    running = item["State"]["Name"] in ("pending", "running")
                    text = base64.b64decode(data).decode()
                    yield Instance(item["InstanceId"], item["PrivateIpAddress"], USER, text, running)

    def _balancers(self, addresses: dict[str, str]) -> dict[str, list[Balancer]]:
        """By the load balancer's DNS name."""
        found: dict[str, list[Balancer]] = {}
        for number, item in enumerate(self.elb.describe_load_balancers()["LoadBalancers"]):
            address = self._address(item, number)
            listeners = self.elb.describe_listeners(LoadBalancerArn=item["LoadBalancerArn"])["Listeners"]
            found[item["DNSName"].lower()] = [
                self._listener(item["LoadBalancerName"], address, listener, addresses) for listener in listeners
            ]
        return found

    def _address(self, balancer: Any, number: int) -> str:
        """AWS gives a load balancer an address of each of its subnets; here, one of the first subnet, from its end."""
        subnet = sorted(zone["SubnetId"] for zone in balancer["AvailabilityZones"])[0]
        cidr = self.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["CidrBlock"]
        return str(ipaddress.ip_network(cidr)[-2 - number])

    def _listener(self, name: str, address: str, listener: Any, addresses: dict[str, str]) -> Balancer:
        arn = listener["DefaultActions"][0]["TargetGroupArn"]
        group = self.elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
        health = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        targets = sorted(
            (addresses[one["Target"]["Id"]], int(one["Target"].get("Port") or group["Port"]))
            for one in health
            if one["Target"]["Id"] in addresses
        )
        return Balancer(name, address, listener["Port"], group["HealthCheckPath"], tuple(targets))

    def _names(self, balancers: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
        for zone in self.dns.list_hosted_zones()["HostedZones"]:
            for one in self.dns.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
                if one["Type"] != "A":
                    continue
                values = [record["Value"] for record in one.get("ResourceRecords") or ()]
                alias = one.get("AliasTarget", {}).get("DNSName", "").rstrip(".").lower()
                values += [balancers[alias]] if alias in balancers else []
                yield one["Name"].rstrip("."), values


def _mark(request: Any, **more: Any) -> None:
    name, value = FOLLOWING
    request.headers[name] = value
