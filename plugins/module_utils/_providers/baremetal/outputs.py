# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is told about machines of one's own."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Found
from ..outputs import Outputs, machines
from ..spec import Spec
from .settings import Settings


def outputs(spec: Spec, settings: Settings, mode: str, world: Mapping[str, Found]) -> Outputs:
    found = machines(world)
    store = settings.object_store
    return Outputs(
        provider="baremetal",
        cluster=spec.name,
        infra_id=spec.infra_id,
        uid=spec.uid,
        endpoint={
            "host": spec.endpoint.host,
            "port": spec.endpoint.port,
            "mode": mode,
            "address": settings.vip if mode == "vip" else "",
        },
        failure_domains=tuple(sorted({machine.failure_domain for machine in found})),
        machines=found,
        # Only where the inventory says which server has them: those of the role object_store are that role's business.
        buckets=tuple(
            {
                "name": one.name,
                "bucket": one.name,
                "region": "",
                "endpoint": store,
                "versioning": one.versioning,
                "lock_days": one.lock_days,
            }
            for one in spec.buckets
            if store
        ),
        dns={"zone": spec.dns.zone, "provider": "rfc2136", "server": settings.dns.server} if spec.dns.manage else {},
        storage_classes=(
            {"name": "standard", "provisioner": "rancher.io/local-path", "parameters": {}},
            {"name": "fast", "provisioner": "kubernetes.io/no-provisioner", "parameters": {}},
        ),
        mtu=1500,
    )
