# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine finds at its first boot: cloud-init's seed, and what the provider's image says otherwise. Pure."""

from __future__ import annotations

import json

from .model import Instance

SEED = "var/lib/cloud/seed/nocloud"
# As Debian's images for clouds have it: their cloud-init writes /etc/hosts anew at each boot, unless the user data say
# no. Node containers have their network from podman, and no data of locales.
IMAGE = {
    "datasource_list": ["NoCloud"],
    "network": {"config": "disabled"},
    "manage_etc_hosts": True,
    "locale": False,
}


def files(instance: Instance, nameserver: str) -> dict[str, tuple[int, bytes]]:
    """Path without a leading slash -> (mode, content)."""
    image = {**IMAGE, "system_info": {"default_user": {"name": instance.user}}}
    return {
        "etc/cloud/cloud.cfg.d/90_stand_in.cfg": (0o644, json.dumps(image).encode()),
        f"{SEED}/meta-data": (0o600, json.dumps({"instance-id": instance.id}).encode()),
        f"{SEED}/user-data": (0o600, instance.user_data.encode()),
        "etc/resolv.conf": (0o644, f"nameserver {nameserver}\noptions timeout:1 attempts:2\n".encode()),
    }
