# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account does not have, or others have in it: told before the first resource is made."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.strategy import Aws
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import InvalidError
from aws_backend import REGION, ZONE, AwsBackend


@pytest.fixture(scope="module")
def started() -> Iterator[AwsBackend]:
    backend = AwsBackend()
    yield backend
    backend.stop()


@pytest.fixture
def aws(started: AwsBackend) -> AwsBackend:
    started.reset()
    return started


def told(aws: AwsBackend, description: dict[str, Any]) -> list[str]:
    """The problems that a plan ends with. Nothing was changed."""
    own = Engine(aws.strategy(description), aws.patience, reading=aws.patience)
    own.validate()
    aws.traffic.clear()
    with pytest.raises(InvalidError) as error:
        own.plan()
    assert aws.traffic.mutating == []
    return [str(problem) for problem in error.value.problems]


def pool(aws: AwsBackend, **changes: Any) -> dict[str, Any]:
    description = aws.description()
    description["pools"][1].update(changes)
    return description


def test_a_size_that_is_not_offered(aws: AwsBackend) -> None:
    assert told(aws, pool(aws, native={"aws": {"instance_type": "m7i.larg"}})) == [
        "pool worker: size m7i.larg is not offered here; wanted m7i.large; change "
        "infrastructure_pools[worker].native.aws.instance_type"
    ]


def test_an_image_that_is_not_there(aws: AwsBackend) -> None:
    assert told(aws, pool(aws, image={"os": "debian", "version": "99"})) == [
        f"pool worker: there is no image debian/99 in {REGION}; wanted an image of this region; change "
        "infrastructure_pools[worker].image, or infrastructure_pools[worker].native.aws.image_id"
    ]


NAMES: list[tuple[Callable[[AwsBackend, str], object], str]] = [
    (
        lambda aws, id: aws.iam.create_role(RoleName=f"{id}-nodes", AssumeRolePolicyDocument="{}"),
        "identity/nodes: a role",
    ),
    (
        lambda aws, id: (
            aws.s3.create_bucket(Bucket=f"{id}-backup", CreateBucketConfiguration={"LocationConstraint": REGION}),
            aws.s3.put_bucket_tagging(
                Bucket=f"{id}-backup", Tagging={"TagSet": [{"Key": "owner", "Value": "somebody"}]}
            ),
        ),
        "bucket/backup: a bucket",
    ),
    (
        lambda aws, id: aws.elb.create_target_group(
            Name=f"{id}-api",
            Protocol="TCP",
            Port=1,
            TargetType="instance",
            VpcId=aws.ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        ),
        "target_group/api: a target group",
    ),
    (
        lambda aws, id: aws.dns.change_resource_record_sets(
            HostedZoneId=aws.zone,
            ChangeBatch={
                "Changes": [
                    {
                        "Action": "CREATE",
                        "ResourceRecordSet": {
                            "Name": f"api.demo.{ZONE}",
                            "Type": "A",
                            "TTL": 60,
                            "ResourceRecords": [{"Value": "192.0.2.1"}],
                        },
                    }
                ]
            },
        ),
        f"record/api: api.demo.{ZONE} has a record of type A that is not this cluster's",
    ),
]


@pytest.mark.parametrize(("take", "message"), NAMES, ids=[message.split(":")[0] for _, message in NAMES])
def test_names_of_others(aws: AwsBackend, take: Callable[[AwsBackend, str], object], message: str) -> None:
    take(aws, spec_read.read(aws.description()).infra_id)
    (problem,) = told(aws, aws.description())
    assert message in problem and "not this cluster's" in problem


def test_a_zone_of_names_that_is_not_there(aws: AwsBackend) -> None:
    (problem,) = told(aws, {**aws.description(), "endpoint": {"host": "api.nobody.org"}, "dns": {"zone": "nobody.org"}})
    assert "Route 53 has no public zone nobody.org" in problem


def test_wrong_credentials(aws: AwsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in asks for none until it is told to."""

    def ask(after: bytes) -> None:
        url, headers = f"{aws.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, data=after, headers=headers, method="POST")
        urllib.request.urlopen(request)

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    strategy = Aws(spec_read.read(aws.description()), {"region": REGION})
    ask(b"0")
    try:
        with pytest.raises(InvalidError) as error:
            Engine(strategy, aws.patience, reading=aws.patience).plan()
    finally:
        ask(b"inf")
    (problem,) = map(str, error.value.problems)
    assert problem.startswith("credentials: ") and f"wanted credentials that may use {REGION}" in problem
    assert "change the profile or the environment" in problem and "wrong-secret" not in problem
