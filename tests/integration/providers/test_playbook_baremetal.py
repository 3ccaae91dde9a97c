# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way a user goes: the inventory for bare metal, its playbook and its inventory plugin, on Redfish and BIND."""

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
from baremetal_backend import ZONE, BaremetalBackend

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def site() -> Iterator[BaremetalBackend]:
    backend = BaremetalBackend()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def inventory(site: BaremetalBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory as it is in the repository, but for the site and who may log in."""
    place = tmp_path_factory.mktemp("inventory") / "baremetal"
    shutil.copytree(ROOT / "inventories" / "baremetal", place)
    settings = site.settings(vip="{{ api_endpoint_vip }}")
    own = {
        "infrastructure_secrets": settings.pop("secrets"),
        "infrastructure_settings": settings,
        "infrastructure_access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
        "infrastructure_dns": {"zone": ZONE},
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


def test_from_nothing_to_an_inventory_and_back(site: BaremetalBackend, inventory: Path) -> None:
    foreign = site.everything()
    site.traffic.clear()
    done = playbook(inventory, "--check")
    assert done.returncode == 0, done.stdout
    assert "create machine/worker-2" in done.stdout and site.traffic.mutating == []
    assert "buckets: an S3 server of yours" in done.stdout, "what stands in is told"

    # As much as Ansible ever tells: the secrets are in none of it.
    done = playbook(inventory, "-vvvv")
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    for secret in site.secrets().values():
        assert secret not in done.stdout + done.stderr

    found = hosts(inventory)
    assert found["control_plane"]["hosts"] == ["cp-1", "cp-2", "cp-3"]
    assert found["worker"]["hosts"] == found["pool_worker"]["hosts"] == ["worker-1", "worker-2"]
    worker = found["_meta"]["hostvars"]["worker-1"]
    assert worker["ansible_host"] == worker["cluster_node_address"] and worker["ansible_host"].startswith("10.0.0.")
    assert worker["api_endpoint_vip"] == "10.0.0.100"

    site.traffic.clear()
    done = playbook(inventory)
    assert done.returncode == 0 and "changed=0" in done.stdout and site.traffic.mutating == [], done.stdout

    away = ("-e", "infrastructure_state=absent")
    done = playbook(inventory, *away)
    assert done.returncode != 0 and "wanted infrastructure_consent=prod" in done.stdout, done.stdout
    # Machines of a quorum go one at a time only while the description still has some.
    done = playbook(inventory, *away, "-e", "infrastructure_consent=prod")
    assert done.returncode == 0, done.stdout
    assert site.everything() == foreign and hosts(inventory)["_meta"]["hostvars"] == {}


def test_a_wrong_password_is_one_clear_error(site: BaremetalBackend, inventory: Path) -> None:
    site.traffic.clear()
    own = {"infrastructure_secrets": {**site.secrets(), "bmc_password": "not-the-one"}}
    done = playbook(inventory, "-vvvv", "-e", json.dumps(own))
    assert done.returncode != 0 and "infrastructure_secrets.bmc_password" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout + done.stderr and site.traffic.mutating == []
    assert "not-the-one" not in done.stdout.replace(json.dumps(own), "")
