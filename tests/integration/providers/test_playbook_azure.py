# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way a user goes: the inventory for Azure, its playbook and its inventory plugin, against our resource manager."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure_backend import ZONE, AzureBackend

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureBackend]:
    backend = AzureBackend()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def inventory(azure: AzureBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory as it is in the repository, but for where Azure is and who may log in."""
    place = tmp_path_factory.mktemp("inventory") / "azure"
    shutil.copytree(ROOT / "inventories" / "azure", place)
    own = {
        "infrastructure_settings": azure.settings(resource_group=""),
        "infrastructure_access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
        "infrastructure_dns": {"zone": ZONE},
        "infrastructure_known_hosts": "",
    }
    (place / "group_vars" / "all" / "z_test.yml").write_text(yaml.safe_dump(own))
    return place


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [program, *map(str, arguments)], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )


def playbook(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("ansible-playbook", "-i", inventory, "playbooks/infrastructure.yml", *arguments)


def hosts(inventory: Path) -> dict[str, Any]:
    done = run("ansible-inventory", "-i", inventory, "--list")
    assert done.returncode == 0 and "[WARNING]" not in done.stderr, done.stderr
    # Ansible marks texts that are no templates.
    found: dict[str, Any] = json.loads(done.stdout, object_hook=lambda one: one.get("__ansible_unsafe", one))
    return found


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
