# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is told about its infrastructure on Azure."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Found
from ..outputs import Outputs, machines
from ..spec import Spec
from .machines import STORAGE
from .settings import Settings


def outputs(spec: Spec, settings: Settings, world: Mapping[str, Found]) -> Outputs:
    found = machines(world)
    own = sorted(world.values(), key=lambda one: one.key)
    public, private = world.get("address/api"), world.get("balancer/api")
    return Outputs(
        provider="azure",
        cluster=spec.name,
        infra_id=spec.infra_id,
        uid=spec.uid,
        endpoint={
            "host": spec.endpoint.host,
            "port": spec.endpoint.port,
            "mode": "balancer",
            "address": public.details["ip"] if public else private.details["ip"] if private else "",
        },
        failure_domains=tuple(sorted({machine.failure_domain for machine in found if machine.failure_domain})),
        machines=found,
        buckets=tuple(
            {
                "name": one.name,
                # The container; Azure's blobs are spoken to in their own protocol, not in that of S3.
                "bucket": one.name,
                "protocol": "azureblob",
                "account": one.details["account"],
                "region": settings.location,
                "endpoint": one.details["endpoint"],
                "versioning": one.properties["versioning"],
                "lock_days": one.properties["lock_days"],
            }
            for one in own
            if one.kind == "bucket"
        ),
        dns={"zone": spec.dns.zone, "provider": "azure"} if spec.dns.manage else {},
        identities=tuple(
            {
                "name": identity.name,
                "kind": "managed_identity",
                "ref": world[f"identity/{identity.name}"].details["client_id"],
                "pools": list(identity.pools),
            }
            for identity in spec.identities
            if f"identity/{identity.name}" in world
        ),
        keys=tuple({"name": one.name, "ref": one.id} for one in own if one.kind == "key"),
        storage_classes=tuple(
            {"name": name, "provisioner": "disk.csi.azure.com", "parameters": _class(sku, own)}
            for name, sku in sorted(STORAGE.items())
        ),
        cloud_controller={
            "name": "azure",
            "config": {
                "subscription_id": settings.subscription_id,
                "resource_group": settings.group(spec.infra_id),
                "location": settings.location,
                "vm_type": "standard",
                "load_balancer_sku": "standard",
            },
        },
        mtu=1500,
    )


def _class(sku: str, own: list[Found]) -> dict[str, str]:
    key = next((one.id for one in own if one.kind == "key"), "")
    return {"skuName": sku, **({"diskEncryptionSetID": key} if key else {})}
