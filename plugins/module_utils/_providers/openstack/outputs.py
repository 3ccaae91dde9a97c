# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is told about its infrastructure on OpenStack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..model import Found
from ..outputs import Outputs, gathered
from ..spec import Spec
from .settings import STORAGE, Settings


def outputs(spec: Spec, settings: Settings, mode: str, world: Mapping[str, Found]) -> Outputs:
    outside, inside = world.get("floating_ip/api"), world.get("port/api")
    address = outside or inside
    network = world.get("network/main")
    found = gathered(
        "openstack",
        spec,
        world,
        address=address.details["address"] if address else "",
        bucket=lambda one: {},
        identity=lambda one: {},
        storage_classes=tuple(
            {"name": name, "provisioner": "cinder.csi.openstack.org", "parameters": {"type": type}}
            for name in STORAGE
            for type in [settings.encrypted_volume_types.get(name) or settings.volume_types.get(name)]
            if type
        ),
        cloud_controller={
            "name": "openstack",
            "config": {"cluster_name": spec.infra_id, "cloud": settings.cloud, "region": settings.region},
        },
        mtu=network.details["mtu"] if network else 0,
    )
    # Not the cloud's own.
    server = settings.dns.server if settings.dns else ""
    names = {"zone": spec.dns.zone, "provider": "rfc2136", "server": server} if spec.dns.manage else {}
    # The address that the machines share inside, which is what they have to take over; clients come to the other one.
    vip = {"vip": inside.details["address"]} if inside else {}
    return replace(found, endpoint={**found.endpoint, "mode": mode, **vip}, dns=names)
