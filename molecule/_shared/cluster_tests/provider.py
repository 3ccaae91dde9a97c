# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What providers of infrastructure differ in, as far as tests see it."""

from __future__ import annotations

from dataclasses import dataclass

# What holds data, and stays unless it is named: {provider: keys}.
KEPT = {
    "aws": ("bucket/etcd-backups", "key/disks", "volume/worker-1-data", "volume/worker-2-data"),
    "azure": ("bucket/etcd-backups", "key/disks", "vault/main", "volume/worker-1-data", "volume/worker-2-data"),
    "openstack": ("volume/worker-1-data", "volume/worker-2-data"),
    # A server's disks are part of it.
    "baremetal": (),
}


@dataclass(frozen=True)
class Provider:
    """machines_go: whether one that is given up is gone, and not a server that is off."""

    name: str
    capabilities: frozenset[str]
    kept: tuple[str, ...]
    machines_go: bool


def provider(name: str) -> Provider:
    """What the collection says of it, which is on the path once an inventory has been read."""
    from ansible_collections.caravan.cluster.plugins.module_utils._providers import registry

    return Provider(name, registry.strategy(name).CAPABILITIES, KEPT[name], name != "baremetal")
