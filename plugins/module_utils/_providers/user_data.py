# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine is told at its first boot: the same cloud-init text for all providers."""

from __future__ import annotations

import json
from typing import Any

from .spec import Access


def cloud_config(machine: str, access: Access) -> str:
    """The text; JSON is YAML. It holds public keys only, since whoever is on the machine can read it."""
    config: dict[str, Any] = {
        "hostname": machine,
        "ssh_pwauth": False,
        # Images of Debian write it anew at each boot: the names in it by which nodes find each other would be gone.
        "manage_etc_hosts": False,
    }
    keys = list(access.authorized_keys)
    if access.user:
        sudo = "ALL=(ALL) NOPASSWD:ALL"
        user = {"name": access.user, "shell": "/bin/bash", "sudo": sudo, "ssh_authorized_keys": keys}
        config["users"] = ["default", user]
    else:
        config["ssh_authorized_keys"] = keys
    return "#cloud-config\n" + json.dumps(config, indent=1, sort_keys=True) + "\n"
