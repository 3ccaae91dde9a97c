# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the strategy for AWS."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws import checks, firewall
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.desired import Desired
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.grants import statements
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.preflight import Preflight
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.settings import Settings
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.sizes import instance_type
from ansible_collections.caravan.cluster.plugins.module_utils._providers.model import Action, Plan, Resource
from memory import DESCRIPTION

ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")


def described(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DESCRIPTION), **changes}


def resources(description: dict[str, Any]) -> dict[str, Resource]:
    spec = spec_read.read(description)
    assert checks.description(spec) == []
    return {one.key: one for one in Desired(spec, Settings("eu-central-1"), ZONES).resources()}


@pytest.mark.parametrize(
    ("cpu", "memory", "architecture", "expected"),
    [
        (2, 4, "amd64", "c7i.large"),
        (2, 5, "amd64", "m7i.large"),
        (2, 16, "amd64", "r7i.large"),
        (3, 8, "amd64", "c7i.xlarge"),
        (8, 32, "arm64", "m7g.2xlarge"),
        (65, 8, "amd64", ""),
    ],
)
def test_the_smallest_type_that_has_it(cpu: int, memory: int, architecture: str, expected: str) -> None:
    assert instance_type(cpu, memory, architecture) == expected


def test_machines_are_spread_over_zones_and_disks_are_where_their_machine_is() -> None:
    found = resources(described())
    zones = [found[f"machine/cp-{number}"].properties["failure_domain"] for number in (1, 2, 3)]
    assert zones == list(ZONES)
    for number in (1, 2):
        machine, volume = found[f"machine/worker-{number}"], found[f"volume/worker-{number}-data"]
        assert machine.properties["failure_domain"] == volume.properties["failure_domain"]


def test_every_reference_leads_to_something() -> None:
    for egress in ("direct", "nat", "none"):
        found = resources(described(network={"cidr": "10.0.0.0/16", "egress": egress}))
        lost = {ref.key for one in found.values() for ref in one.references()} - set(found)
        assert lost == set(), egress


def test_machines_without_public_addresses_go_out_by_a_gateway_in_each_zone() -> None:
    found = resources(described(network={"cidr": "10.0.0.0/16", "egress": "nat"}))
    assert [key for key in found if key.startswith("nat_gateway/")] == [f"nat_gateway/{zone}" for zone in ZONES]
    assert not found[f"subnet/{ZONES[0]}"].properties["public"]
    cidrs = [one.properties["cidr"] for one in found.values() if one.kind == "subnet"]
    assert len(cidrs) == len(set(cidrs)) == 2 * len(ZONES)


def test_an_existing_network_is_left_as_it_is() -> None:
    native = {"aws": {"vpc_id": "vpc-1", "subnet_ids": {zone: f"subnet-{zone}" for zone in ZONES}}}
    found = resources(described(network={"cidr": "10.0.0.0/16", "mode": "existing"}, native=native))
    assert {one.kind for one in found.values()} & {"vpc", "subnet", "route_table", "internet_gateway"} == set()
    assert found["machine/cp-2"].properties["subnet"] == f"subnet-{ZONES[1]}"


def test_ports_are_open_on_the_groups_of_their_roles_only() -> None:
    port = {
        "name": "etcd",
        "protocol": "tcp",
        "first": 2379,
        "last": 2380,
        "roles": ["etcd"],
        "sources": ["10.0.0.0/16"],
    }
    vrrp = {"name": "VRRP", "protocol": "vrrp", "roles": ["control_plane"], "sources": ["10.0.0.0/16"]}
    found = resources(described(ports=[port, vrrp]))
    icmp = ["icmp", -1, -1, "0.0.0.0/0"]
    assert found["security_group/etcd"].properties["ingress"] == [icmp, ["tcp", 2379, 2380, "10.0.0.0/16"]]
    assert found["security_group/control_plane"].properties["ingress"] == [icmp]


def test_rules_survive_the_way_to_ec2_and_back() -> None:
    rules = [["icmp", -1, -1, "0.0.0.0/0"], ["tcp", 22, 22, "2001:db8::/32"], ["tcp", 2379, 2380, "10.0.0.0/16"]]
    assert firewall.rules(firewall.permissions(rules)) == rules


def test_who_writes_to_a_bucket_cannot_delete_from_it() -> None:
    description = described(buckets=[{"name": "backup"}])
    found = statements(spec_read.read(description), ["bucket.write"], "eu-central-1")
    actions = [action for statement in found for action in statement["Action"]]
    assert "s3:PutObject" in actions and not [action for action in actions if "Delete" in action]
    assert all(statement["Resource"] != ["*"] for statement in found)


def test_what_changes_something_is_bound_to_the_cluster() -> None:
    """Whatever may be done to any resource is reading, or is bound by a condition."""
    grants = ["balancer.manage", "bucket.read", "dns.write", "key.use", "machine.read", "volume.attach"]
    spec = spec_read.read(described(dns={"zone": "example.org"}, buckets=[{"name": "backup"}]))
    for statement in statements(spec, grants, "cn-north-1"):
        if statement["Resource"] == ["*"] and "Condition" not in statement:
            reading = ("Describe", "List", "Get")
            assert all(action.split(":")[1].startswith(reading) for action in statement["Action"]), statement["Sid"]
        for resource in statement["Resource"]:
            assert not isinstance(resource, str) or resource == "*" or resource.startswith("arn:aws-cn:")


MISTAKES = [
    ({"network": {"cidr": "10.0.0.0/28"}}, "a prefix from /16 to /24"),
    ({"network": {"cidr": "10.0.0.0/16", "mode": "existing"}}, "lacks vpc_id or subnet_ids"),
    ({"native": {"aws": {"vpc_id": "vpc-1"}}}, "wanted neither"),
    ({"native": {"aws": {"image_owner": []}}}, "image_owner is no setting; wanted image_owners"),
    ({"endpoint": {"host": "api.demo.example.org", "mode": "vip"}}, "mode is 'vip'; wanted balancer or auto"),
    ({"failure_domains": [f"z{number}" for number in range(9)]}, "there are 9; wanted 8 at most"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_what_aws_cannot_do(changes: dict[str, Any], message: str) -> None:
    problems = checks.description(spec_read.read(described(**changes)))
    assert len(problems) == 1 and message in str(problems[0])


POOLS = [
    ({"cpu": 500}, "wants 500 CPUs and 4 GiB; wanted at most 64 CPUs and 512 GiB (r7i.16xlarge)"),
    ({"image": {"os": "debain"}}, "image.os is 'debain'; wanted debian"),
    ({"native": {"aws": {"instance": "x"}}}, "instance is no setting; wanted instance_type"),
]


@pytest.mark.parametrize(("changes", "message"), POOLS, ids=[message for _, message in POOLS])
def test_what_a_pool_cannot_have(changes: dict[str, Any], message: str) -> None:
    description = described()
    description["pools"][0].update(changes)
    problems = checks.description(spec_read.read(description))
    assert len(problems) == 1 and message in str(problems[0])


def test_an_unknown_region_is_told_offline_with_the_nearest() -> None:
    assert [str(one) for one in checks.settings({"region": "eu-centrl-1"})] == [
        "settings: region is 'eu-centrl-1'; wanted eu-central-1; change infrastructure_settings.region"
    ]


class Offers:
    """What AWS would say: types by zone, their CPUs, and a quota."""

    class settings:
        region = "eu-central-1"

    def __init__(self, quota: float) -> None:
        self.quota = quota

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        return {"Quota": {"Value": self.quota}} if operation == "get_service_quota" else None

    def pages(self, service: str, operation: str, items: str, **parameters: Any) -> Any:
        if operation == "describe_instance_types":
            return [{"InstanceType": one, "VCpuInfo": {"DefaultVCpus": 2}} for one in parameters["InstanceTypes"]]
        if operation == "describe_instance_type_offerings":
            return [
                {"InstanceType": type, "Location": zone}
                for type, zones in {"c7i.large": ZONES[:2], "c7i.xlarge": ZONES}.items()
                for zone in zones
            ]
        if operation == "describe_instances":
            return [{"Instances": [{"InstanceType": one} for one in ("m7i.large", "g5.xlarge")]}]
        return [{"ImageId": "ami-1"}]


def test_what_the_account_cannot_have_is_told_before_the_first_machine() -> None:
    spec = spec_read.read(described(keys=[]))
    machines = [one for one in Desired(spec, Settings("eu-central-1"), ZONES).resources() if one.kind == "machine"]
    plan = Plan(tuple(Action("create", one.key, wanted=one) for one in machines))
    found = [str(one) for one in Preflight(Offers(11), spec, plan).problems()]  # type: ignore[arg-type]
    assert found == [
        "pool cp: size c7i.large is not offered in eu-central-1c; wanted a zone that has it "
        "(eu-central-1a, eu-central-1b); change infrastructure_failure_domains",
        "quota: 5 new machines need 10 virtual CPUs, and 2 are in use; wanted at most 11 in eu-central-1; change "
        "infrastructure_pools, or have the quota raised",
    ]
