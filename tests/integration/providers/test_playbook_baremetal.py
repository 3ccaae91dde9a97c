# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way a user goes: the inventory for bare metal, its playbook and its inventory plugin, on Redfish and BIND."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from baremetal_backend import ZONE, BaremetalBackend
from user_way import hosts, inventory_of, playbook


@pytest.fixture(scope="module")
def site() -> Iterator[BaremetalBackend]:
    backend = BaremetalBackend()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def inventory(site: BaremetalBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory as it is in the repository, but for the site and who may log in."""
    settings = site.settings(vip="{{ api_endpoint_vip }}")
    own = {
        "infrastructure_secrets": settings.pop("secrets"),
        "infrastructure_settings": settings,
        "infrastructure_access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
        "infrastructure_dns": {"zone": ZONE},
    }
    return inventory_of("baremetal", tmp_path_factory.mktemp("inventory"), own)


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
