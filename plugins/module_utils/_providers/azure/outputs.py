# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is told about its infrastructure on Azure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model import Found
from ..outputs import Outputs, gathered
from ..spec import Spec
from .machines import STORAGE
from .settings import Settings


def outputs(spec: Spec, settings: Settings, world: Mapping[str, Found]) -> Outputs:
    public, private = world.get("address/api"), world.get("balancer/api")
    return gathered(
        "azure",
        spec,
        world,
        address=public.details["ip"] if public else private.details["ip"] if private else "",
        bucket=lambda one: _bucket(one, settings.location),
        identity=lambda one: {"kind": "managed_identity", "ref": one.details["client_id"]},
        storage_classes=tuple(
            {"name": name, "provisioner": "disk.csi.azure.com", "parameters": _class(sku, world)}
            for name, sku in sorted(STORAGE.items())
        ),
        cloud_controller={
            "name": "azure",
            "config": {
                "cluster_name": spec.infra_id,
                "tenant_id": settings.tenant_id,
                "subscription_id": settings.subscription_id,
                "resource_group": settings.group(spec.infra_id),
                "location": settings.location,
                "vm_type": "standard",
                "load_balancer_sku": "standard",
            },
        },
        mtu=1500,
    )


def _bucket(one: Found, location: str) -> dict[str, Any]:
    """The container; Azure's blobs are spoken to in their own protocol, not in that of S3."""
    return {
        "bucket": one.name,
        "protocol": "azureblob",
        "account": one.details["account"],
        "region": location,
        "endpoint": one.details["endpoint"],
    }


def _class(sku: str, world: Mapping[str, Found]) -> dict[str, str]:
    key = next((one.id for _, one in sorted(world.items()) if one.kind == "key"), "")
    return {"skuName": sku, **({"diskEncryptionSetID": key} if key else {})}
