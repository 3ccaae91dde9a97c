# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is told about its infrastructure on AWS."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Found
from ..outputs import Outputs, gathered
from ..spec import Spec
from .volumes import TYPES


def outputs(spec: Spec, region: str, world: Mapping[str, Found]) -> Outputs:
    balancer = world.get("balancer/api")
    return gathered(
        "aws",
        spec,
        world,
        address=balancer.details.get("dns_name", "") if balancer else "",
        bucket=lambda one: {"bucket": one.id, "region": region, "endpoint": f"https://s3.{region}.amazonaws.com"},
        identity=lambda one: {"kind": "instance_profile", "ref": one.id},
        storage_classes=tuple(
            {"name": name, "provisioner": "ebs.csi.aws.com", "parameters": {"type": type, "encrypted": "true"}}
            for name, type in sorted(TYPES.items())
        ),
        cloud_controller={"name": "aws", "config": {"cluster_name": spec.infra_id, "region": region}},
        mtu=9001,
    )
