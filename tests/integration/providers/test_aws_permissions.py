# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy in docs/providers-aws-policy.json has every permission that is used, and none that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers.aws.api import Api
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.planner import Options
from aws_backend import AwsBackend

POLICY = Path(__file__).resolve().parents[3] / "docs" / "providers-aws-policy.json"
SERVICES = {
    "elbv2": "elasticloadbalancing",
    "resourcegroupstaggingapi": "tag",
    "service-quotas": "servicequotas",
}
# Where IAM calls a permission otherwise than the operation that needs it.
OTHERWISE = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:DeleteObject": "s3:DeleteObjectVersion",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
}
# What AWS asks for beside the operation's own permission, which no stand-in shows: tags at creation, the role that a
# machine is given, the key that a disk is encrypted with. Types are looked up for quotas, which moto does not have.
BESIDE = {
    "ec2:DescribeInstanceTypes",
    "elasticloadbalancing:AddTags",
    "iam:PassRole",
    "iam:TagInstanceProfile",
    "iam:TagRole",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:TagResource",
}
# Calls of repairs that the tests below do not need, each for a property that others may have changed.
REPAIRS = {
    "ec2:AssociateIamInstanceProfile",
    "ec2:DeleteRoute",
    "ec2:DescribeIamInstanceProfileAssociations",
    "ec2:DisassociateIamInstanceProfile",
    "ec2:ModifyInstanceAttribute",
    "ec2:ReplaceRoute",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:StartInstances",
    "elasticloadbalancing:ModifyListener",
    "elasticloadbalancing:ModifyTargetGroup",
    "elasticloadbalancing:SetSubnets",
    "kms:DisableKeyRotation",
}


@pytest.fixture
def aws() -> Iterator[AwsBackend]:
    backend = AwsBackend()
    yield backend
    backend.stop()


def permissions(api: Any, service: str, operation: str) -> str:
    name = api.client(service).meta.method_to_api_mapping[operation]
    permission = f"{SERVICES.get(service, service)}:{name}"
    return OTHERWISE.get(permission, permission)


def test_the_documented_policy_is_what_is_used(aws: AwsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    call, pages = Api.call, Api.pages

    def seen_call(self: Api, service: str, operation: str, *arguments: Any, **parameters: Any) -> Any:
        used.add(permissions(self, service, operation))
        return call(self, service, operation, *arguments, **parameters)

    def seen_pages(self: Api, service: str, operation: str, *arguments: Any, **parameters: Any) -> Any:
        used.add(permissions(self, service, operation))
        return pages(self, service, operation, *arguments, **parameters)

    monkeypatch.setattr(Api, "call", seen_call)
    monkeypatch.setattr(Api, "pages", seen_pages)
    description = aws.description(network={"cidr": "10.0.0.0/16", "egress": "nat"})
    description["failure_domains"] = ["eu-central-1a"]
    description["buckets"] = [{"name": "locked", "lock_days": 3}, {"name": "open"}]
    bring(aws, description)
    name = next(one["Name"] for one in aws.s3.list_buckets()["Buckets"] if one["Name"].endswith("-open"))
    aws.s3.put_object(Bucket=name, Key="a", Body=b"a")
    description["pools"][1].update(cpu=8, data_disks=[{"name": "data", "size_gib": 200}])
    bring(aws, description)
    consoles(aws, description)
    bring(aws, description, present=False)
    documented = {action for statement in json.loads(POLICY.read_text())["Statement"] for action in statement["Action"]}
    assert used - documented == set(), "used, and not in the policy"
    assert documented - used - BESIDE - REPAIRS == set(), "in the policy, and not used"


def bring(aws: AwsBackend, description: dict[str, Any], present: bool = True) -> None:
    engine = Engine(aws.strategy(description))
    engine.validate()
    data = frozenset(one.key for one in engine.observe() if engine.handlers[one.kind].kind.keeps_data)
    engine.apply(engine.plan(present, Options(delete_data=data if not present else frozenset())))


def consoles(aws: AwsBackend, description: dict[str, Any]) -> None:
    """Where host keys are read. The stand-in has the same text for all machines, and no keys in it."""
    strategy = aws.strategy(description)
    assert all(strategy.console(machine["id"]) for machine in Engine(strategy).machines())
