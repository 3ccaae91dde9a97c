# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way a user goes: the inventory for Azure, its playbook and its inventory plugin, against our resource manager."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure_backend import ZONE, AzureBackend
from user_way import hosts, inventory_of, playbook


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureBackend]:
    backend = AzureBackend()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def inventory(azure: AzureBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory as it is in the repository, but for where Azure is and who may log in."""
    own = {
        "infrastructure_settings": azure.settings(resource_group=""),
        "infrastructure_access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
        "infrastructure_dns": {"zone": ZONE},
        "infrastructure_known_hosts": "",
    }
    return inventory_of("azure", tmp_path_factory.mktemp("inventory"), own)


def test_from_nothing_to_an_inventory_and_back(azure: AzureBackend, inventory: Path) -> None:
    foreign = azure.everything()
    azure.traffic.clear()
    done = playbook(inventory, "--check")
    assert done.returncode == 0, done.stdout
    assert "create machine/worker-2" in done.stdout and azure.traffic.mutating == []

    done = playbook(inventory)
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    assert azure.arm.secret not in done.stdout

    found = hosts(inventory)
    assert found["control_plane"]["hosts"] == ["cp-1", "cp-2", "cp-3"]
    worker = found["_meta"]["hostvars"]["worker-1"]
    assert worker["cluster_node_address"].startswith("10.") and worker["ansible_host"].startswith("20.")
    assert worker["infrastructure_machine"]["provider_id"].startswith("azure:///subscriptions/")

    done = playbook(inventory)
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout

    consent = ("-e", "infrastructure_state=absent", "-e", "infrastructure_consent=prod")
    data = ["bucket/etcd-backups", "key/disks", "vault/main", "volume/worker-1-data", "volume/worker-2-data"]
    kept = json.dumps({"infrastructure_delete_data": data})
    refused = playbook(inventory, *consent[:2])
    assert refused.returncode != 0 and "infrastructure_consent=prod" in refused.stdout
    done = playbook(inventory, *consent, "-e", kept)
    assert done.returncode == 0, done.stdout
    assert azure.everything() == foreign
