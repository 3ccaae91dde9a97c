# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way a user goes: the inventory for AWS, its playbook and its inventory plugin, against moto."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_backend import AwsBackend
from user_way import hosts, inventory_of, planned, playbook

OWN = {
    "infrastructure_native": {"aws": {"image_owners": ["self"]}},
    "infrastructure_access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
    "infrastructure_dns": {"zone": "example.org"},
    "infrastructure_known_hosts": "",
}


@pytest.fixture(scope="module")
def aws() -> Any:
    backend = AwsBackend()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory as it is in the repository, but for what the stand-in lacks."""
    return inventory_of("aws", tmp_path_factory.mktemp("inventory"), OWN)


def test_from_nothing_to_an_inventory_and_back(aws: AwsBackend, inventory: Path, tmp_path: Path) -> None:
    foreign = aws.everything()
    assert hosts(inventory)["_meta"]["hostvars"] == {}

    plan = tmp_path / "plan" / "plan.json"
    planned(inventory, plan, aws.traffic)

    done = playbook(inventory, "-e", f"infrastructure_approved_plan={plan}")
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout

    found = hosts(inventory)
    assert found["control_plane"]["hosts"] == ["cp-1", "cp-2", "cp-3"]
    assert found["worker"]["hosts"] == found["pool_worker"]["hosts"] == ["worker-1", "worker-2"]
    worker = found["_meta"]["hostvars"]["worker-1"]
    assert worker["cluster_node_address"].startswith("10.0.") and worker["ansible_host"]
    assert worker["infrastructure_machine"]["provider_id"].startswith("aws:///eu-central-1")
    assert worker["cluster_node_provider_id"] == worker["infrastructure_machine"]["provider_id"]
    assert {one["type"] for one in worker["cluster_node_provider_addresses"]} >= {"InternalIP", "InternalDNS"}
    assert worker["cluster_cloud_controller"]["name"] == "aws"
    assert [one["name"] for one in worker["cluster_storage_classes"]] == ["fast", "standard"]

    aws.traffic.clear()
    done = playbook(inventory, "--diff")
    assert done.returncode == 0 and "changed=0" in done.stdout and aws.traffic.mutating == [], done.stdout

    done = playbook(inventory, "-e", f"infrastructure_approved_plan={plan}")
    assert done.returncode != 0 and "the infrastructure has changed since the plan was approved" in done.stdout

    done = playbook(inventory, "-e", "infrastructure_state=absent")
    assert done.returncode != 0 and "wanted infrastructure_consent=prod" in done.stdout, done.stdout
    data = ["bucket/etcd-backups", "key/disks", "volume/worker-1-data", "volume/worker-2-data"]
    away = {"infrastructure_state": "absent", "infrastructure_consent": "prod", "infrastructure_delete_data": data}
    done = playbook(inventory, "-e", json.dumps(away))
    assert done.returncode == 0, done.stdout
    assert aws.everything() == foreign and hosts(inventory)["_meta"]["hostvars"] == {}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"infrastructure_settings": {"region": "eu-central-9"}}, "region is 'eu-central-9'; wanted eu-central-"),
    ({"infrastructure_settings": {"zone": "a"}}, "settings: zone is no setting"),
    ({"infrastructure_failure_domains": ["eu-central-1x"]}, "has 'eu-central-1x'; wanted eu-central-1"),
    ({"infrastructure_endpoint": {"mode": "vip"}}, "mode is 'vip'; wanted balancer or auto"),
    ({"infrastructure_network": {"cidr": "10.244.0.0/16"}}, "10.244.0.0/16 and 10.244.0.0/16 overlap"),
    ({"infrastructure_network": {"cidr": "10.0.0.0/28"}}, "wanted an IPv4 network with a prefix from /16 to /24"),
    ({"infrastructure_dns": {"zone": "nobody.org"}}, "zone is 'nobody.org', the endpoint api.prod.example.org"),
]


@pytest.mark.parametrize(("variables", "message"), BAD, ids=[next(iter(one)) for one, _ in BAD])
def test_bad_input_is_one_clear_error(
    aws: AwsBackend, inventory: Path, variables: dict[str, Any], message: str
) -> None:
    aws.traffic.clear()
    done = playbook(inventory, "-e", json.dumps(variables))
    assert done.returncode != 0 and message in done.stdout, done.stdout
    assert "Traceback" not in done.stdout + done.stderr and aws.traffic.mutating == []
