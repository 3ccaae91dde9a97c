# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way a user goes: the inventory for OpenStack, its playbook and its inventory plugin, against its own services."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openstack_backend import OpenStackBackend
from user_way import hosts, inventory_of, planned, playbook

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cloud(one_cloud: OpenStackBackend) -> OpenStackBackend:
    one_cloud.reset()
    # Three machines with 8 GiB and two with 16: more than a new project may have.
    one_cloud.admin.compute.update_quota_set(one_cloud.project.id, ram=60 * 1024)
    return one_cloud


@pytest.fixture(scope="module")
def inventory(cloud: OpenStackBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The inventory as it is in the repository, with its own cloud in clouds.yaml."""
    own = {
        "infrastructure_settings": cloud.settings(cloud="mycloud"),
        "infrastructure_access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
        "infrastructure_known_hosts": "",
    }
    directory = tmp_path_factory.mktemp("inventory")
    clouds = directory / "clouds.yaml"
    clouds.touch(mode=0o600)
    clouds.write_text(yaml.safe_dump({"clouds": {"mycloud": cloud.entry()}}))
    with pytest.MonkeyPatch.context() as environment:
        for name in cloud.environment:
            environment.delenv(name)
        environment.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
        yield inventory_of("openstack", directory, own)


def test_from_nothing_to_an_inventory_and_back(cloud: OpenStackBackend, inventory: Path, tmp_path: Path) -> None:
    foreign = cloud.everything()
    assert hosts(inventory)["_meta"]["hostvars"] == {}

    plan = tmp_path / "plan" / "plan.json"
    said = planned(inventory, plan, cloud.traffic)
    assert "buckets: an S3 server of yours" in said, "what stands in is told"

    # As much as Ansible ever tells: the password is in none of it.
    done = playbook(inventory, "-vvvv", "-e", f"infrastructure_approved_plan={plan}")
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    assert cloud.password not in done.stdout + done.stderr

    found = hosts(inventory)
    assert found["control_plane"]["hosts"] == ["cp-1", "cp-2", "cp-3"]
    assert found["worker"]["hosts"] == found["pool_worker"]["hosts"] == ["worker-1", "worker-2"]
    worker = found["_meta"]["hostvars"]["worker-1"]
    assert worker["cluster_node_address"].startswith("10.0.") and worker["ansible_host"].startswith("198.18.")
    assert worker["infrastructure_machine"]["provider_id"].startswith("openstack:///")
    assert worker["cluster_node_provider_id"] == worker["infrastructure_machine"]["provider_id"]
    # As Nova calls the machine, which is what the cloud controller goes by.
    assert worker["cluster_node_name"].endswith("-worker-1")
    assert worker["cluster_cloud_controller"]["name"] == "openstack"
    assert {one["name"] for one in worker["cluster_storage_classes"]} == {"fast", "standard"}
    machines = [found["_meta"]["hostvars"][name]["infrastructure_machine"] for name in ("cp-1", "cp-2")]
    assert [one["failure_domain"] for one in machines] == ["zone1", "zone2"]

    cloud.traffic.clear()
    done = playbook(inventory, "--diff")
    assert done.returncode == 0 and "changed=0" in done.stdout and cloud.traffic.mutating == [], done.stdout

    done = playbook(inventory, "-e", "infrastructure_state=absent")
    assert done.returncode != 0 and "wanted infrastructure_consent=prod" in done.stdout, done.stdout
    data = ["volume/worker-1-data", "volume/worker-2-data"]
    away = {"infrastructure_state": "absent", "infrastructure_consent": "prod", "infrastructure_delete_data": data}
    done = playbook(inventory, "-e", json.dumps(away))
    assert done.returncode == 0, done.stdout
    assert cloud.everything() == foreign and hosts(inventory)["_meta"]["hostvars"] == {}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"cloud": "mycloud", "region": "RegionTwo"}, "region is 'RegionTwo'; wanted RegionOne"),
    ({"cloud": "nowhere"}, "infrastructure_settings.cloud (clouds.yaml)"),
    ({"cloud": "mycloud", "external_network": "publik"}, "external_network is 'publik'; wanted public"),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=[list(one)[-1] for one, _ in BAD])
def test_bad_input_is_one_clear_error(
    cloud: OpenStackBackend, inventory: Path, changes: dict[str, Any], message: str
) -> None:
    cloud.traffic.clear()
    own = {"infrastructure_settings": {**cloud.settings(), **changes}}
    done = playbook(inventory, "-e", json.dumps(own))
    assert done.returncode != 0 and message in done.stdout, done.stdout
    assert "Traceback" not in done.stdout + done.stderr and cloud.traffic.mutating == []
