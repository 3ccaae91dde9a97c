# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containerd is told about registries (`/etc/containerd/certs.d`). Pure."""

from __future__ import annotations

from typing import Dict, List

CERTS_DIRECTORY = "/etc/containerd/certs.d"
CA_FILE = CERTS_DIRECTORY + "/mirror-ca.crt"


def hosts_toml(registry: str, mirror: str, managed: str) -> str:
    """Send all pulls from one upstream registry to a mirror, and nowhere else.

    `server` is what containerd falls back to. It is the mirror too, so that a node never asks upstream. The path's last part
    is the upstream registry's name, under which the mirror keeps what came from it.
    """
    address = f"https://{mirror}/v2/{registry}"
    return (
        f"# {managed}\n"
        f'server = "{address}"\n'
        f'capabilities = ["pull", "resolve"]\n'
        f'ca = "{CA_FILE}"\n'
        f"override_path = true\n"
    )


def registry_files(registries: List[str], mirror: str, ca: str, managed: str) -> List[Dict[str, str]]:
    """The files that make a mirror (`host:port`) stand in for these registries, as `caravan.cluster.files` takes them.

    `_default` is what containerd uses for a registry that has no directory of its own: the mirror as well, which does not
    have it and says so.
    """
    files = [{"dest": CA_FILE, "content": ca, "mode": "0644"}]
    for registry in sorted(registries):
        files.append(
            {
                "dest": f"{CERTS_DIRECTORY}/{registry}/hosts.toml",
                "content": hosts_toml(registry, mirror, managed),
                "mode": "0644",
            }
        )
    files.append(
        {"dest": f"{CERTS_DIRECTORY}/_default/hosts.toml", "content": hosts_toml("unknown", mirror, managed), "mode": "0644"}
    )
    return files
