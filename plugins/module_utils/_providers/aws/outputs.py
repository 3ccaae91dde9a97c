# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is told about its infrastructure on AWS."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Found
from ..outputs import Outputs, machines
from ..spec import Spec
from .volumes import TYPES


def outputs(spec: Spec, region: str, world: Mapping[str, Found]) -> Outputs:
    balancer = world.get("balancer/api")
    found = machines(world)
    own = sorted(world.values(), key=lambda one: one.key)
    classes = sorted(TYPES.items())
    return Outputs(
        provider="aws",
        cluster=spec.name,
        infra_id=spec.infra_id,
        uid=spec.uid,
        endpoint={
            "host": spec.endpoint.host,
            "port": spec.endpoint.port,
            "mode": "balancer",
            "address": balancer.details.get("dns_name", "") if balancer else "",
        },
        failure_domains=tuple(sorted({machine.failure_domain for machine in found})),
        machines=found,
        buckets=tuple(
            {
                "name": one.name,
                "bucket": one.id,
                "region": region,
                "endpoint": f"https://s3.{region}.amazonaws.com",
                "versioning": one.properties["versioning"],
                "lock_days": one.properties["lock_days"],
            }
            for one in own
            if one.kind == "bucket"
        ),
        dns={"zone": spec.dns.zone, "provider": "aws"} if spec.dns.manage else {},
        identities=tuple(
            {
                "name": identity.name,
                "kind": "instance_profile",
                "ref": world[f"identity/{identity.name}"].id,
                "pools": list(identity.pools),
            }
            for identity in spec.identities
            if f"identity/{identity.name}" in world
        ),
        keys=tuple({"name": one.name, "ref": one.id} for one in own if one.kind == "key"),
        storage_classes=tuple(
            {"name": name, "provisioner": "ebs.csi.aws.com", "parameters": {"type": type, "encrypted": "true"}}
            for name, type in classes
        ),
        cloud_controller={"name": "aws", "config": {"cluster_name": spec.infra_id, "region": region}},
        mtu=9001,
    )
