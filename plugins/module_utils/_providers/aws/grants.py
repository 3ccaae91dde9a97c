# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of identities as statements of IAM policies, each as narrow as AWS lets it be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..model import Ref
from ..ownership import Ownership
from ..spec import Spec

READ = """
    autoscaling:DescribeAutoScalingGroups autoscaling:DescribeLaunchConfigurations autoscaling:DescribeTags
    ec2:DescribeAvailabilityZones ec2:DescribeInstances ec2:DescribeInstanceTopology ec2:DescribeRegions
    ec2:DescribeRouteTables ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeTags ec2:DescribeVolumes
    ec2:DescribeVpcs
""".split()
BALANCER_READ = """
    ec2:DescribeSecurityGroups ec2:DescribeSubnets elasticloadbalancing:DescribeListeners
    elasticloadbalancing:DescribeLoadBalancerAttributes elasticloadbalancing:DescribeLoadBalancers
    elasticloadbalancing:DescribeTags elasticloadbalancing:DescribeTargetGroupAttributes
    elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth
""".split()
BALANCER_WRITE = """
    elasticloadbalancing:AddTags elasticloadbalancing:CreateListener elasticloadbalancing:DeleteListener
    elasticloadbalancing:DeleteLoadBalancer elasticloadbalancing:DeleteTargetGroup
    elasticloadbalancing:DeregisterTargets elasticloadbalancing:ModifyListener
    elasticloadbalancing:ModifyLoadBalancerAttributes elasticloadbalancing:ModifyTargetGroup
    elasticloadbalancing:ModifyTargetGroupAttributes elasticloadbalancing:RegisterTargets
    elasticloadbalancing:SetSecurityGroups elasticloadbalancing:SetSubnets
""".split()
DNS_READ = ["route53:ListHostedZones*", "route53:ListResourceRecordSets", "route53:GetChange"]
VOLUME_READ = """
    ec2:DescribeAvailabilityZones ec2:DescribeInstances ec2:DescribeSnapshots ec2:DescribeTags ec2:DescribeVolumes
    ec2:DescribeVolumesModifications ec2:DescribeVolumeStatus
""".split()
VOLUME_WRITE = """
    ec2:AttachVolume ec2:CreateSnapshot ec2:DeleteSnapshot ec2:DeleteVolume ec2:DetachVolume ec2:ModifyVolume
""".split()


def partition(region: str) -> str:
    return {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}.get(
        next((p for p in ("cn-", "us-gov-") if region.startswith(p)), ""), "aws"
    )


def statements(spec: Spec, grants: Iterable[str], region: str) -> list[dict[str, Any]]:
    """The policy of an identity with these grants. References stand for keys that may not exist yet."""
    own = Ownership.of(spec)
    arn = f"arn:{partition(region)}"
    cluster = {"StringEquals": {f"aws:ResourceTag/{own.cluster_tag}": "owned"}}
    # What a cloud controller or a CSI driver makes carries the cluster's tag from its first moment.
    new = {"StringEquals": {f"aws:RequestTag/{own.cluster_tag}": "owned"}}
    buckets = [f"{arn}:s3:::{spec.infra_id}-{bucket.name}" for bucket in spec.buckets]
    objects = [f"{bucket}/*" for bucket in buckets]
    keys = [Ref(f"key/{key.name}") for key in spec.keys]
    found: list[dict[str, Any]] = []
    for grant in sorted(set(grants)):
        if grant == "machine.read":
            found.append(_allow("MachineRead", READ))
        elif grant == "balancer.manage":
            found.append(_allow("BalancerRead", BALANCER_READ))
            making = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
            found.append(_allow("BalancerNew", making, condition=new))
            found.append(_allow("BalancerOwn", BALANCER_WRITE, condition=cluster))
            found.append(
                _allow(
                    "BalancerPorts",
                    ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"],
                    condition=cluster,
                )
            )
        elif grant == "volume.attach":
            found.append(_allow("VolumeRead", VOLUME_READ))
            found.append(_allow("VolumeNew", ["ec2:CreateVolume"], condition=new))
            tagging = {"StringEquals": {"ec2:CreateAction": ["CreateVolume", "CreateSnapshot"]}}
            found.append(_allow("VolumeTags", ["ec2:CreateTags"], condition=tagging))
            found.append(_allow("VolumeOwn", VOLUME_WRITE, condition=cluster))
        elif grant == "dns.write":
            found.append(
                _allow("DnsRead", ["route53:ListHostedZones*", "route53:ListResourceRecordSets", "route53:GetChange"])
            )
            names = {
                "ForAllValues:StringLike": {
                    "route53:ChangeResourceRecordSetsNormalizedRecordNames": [f"*.{spec.dns.zone}"]
                }
            }
            zones = [f"{arn}:route53:::hostedzone/*"]
            found.append(_allow("DnsWrite", ["route53:ChangeResourceRecordSets"], zones, names))
        elif grant == "bucket.read" and buckets:
            found.append(
                _allow("BucketList", ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"], buckets)
            )
            found.append(_allow("BucketRead", ["s3:GetObject", "s3:GetObjectVersion"], objects))
        elif grant == "bucket.write" and buckets:
            # No deletion: who gets at a node cannot take its backups away.
            found.append(_allow("BucketListForWriters", ["s3:GetBucketLocation", "s3:ListBucket"], buckets))
            writing = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
            found.append(_allow("BucketWrite", writing, objects))
        elif grant == "key.use" and keys:
            using = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext"]
            found.append(_allow("KeyUse", using, keys))
            aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
            found.append(_allow("KeyGrant", ["kms:CreateGrant"], keys, aws))
    return found


def _allow(
    sid: str, actions: Sequence[str], resources: Sequence[Any] = ("*",), condition: Any = None
) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement
