# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines are what the provider says: their addresses, what they were told at first boot, and their host keys."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from cluster_tests import shell
from cluster_tests.cluster import Cluster


def machine(cluster: Cluster, node: str) -> dict[str, Any]:
    """What the inventory plugin has of it."""
    return dict(cluster.inventory.value(node, "infrastructure_machine"))


def known_hosts(cluster: Cluster) -> Path:
    return Path(str(cluster.setting("infrastructure_known_hosts")))


def test_machines_are_in_the_groups_of_their_roles_and_of_their_pool(cluster: Cluster) -> None:
    groups = ("etcd", "control_plane", "worker", "pool_cp", "pool_worker")
    hosts = {group: cluster.inventory.hosts(group) for group in groups}
    assert hosts == {
        "etcd": ("cp-1",),
        "control_plane": ("cp-1",),
        "worker": ("worker-1",),
        "pool_cp": ("cp-1",),
        "pool_worker": ("worker-1",),
    }


def test_a_machine_has_the_address_that_the_provider_reports(cluster: Cluster, node: str) -> None:
    reported = [one["value"] for one in machine(cluster, node)["addresses"] if one["type"] == "InternalIP"]
    shown = json.loads(cluster.nodes.run(node, ["ip", "-json", "-4", "address", "show", "dev", "eth0"]).stdout)
    assert reported == [one["local"] for one in shown[0]["addr_info"] if one["local"] in reported]
    assert cluster.address(node) == reported[0]


def test_a_machine_did_what_its_user_data_say(cluster: Cluster, node: str) -> None:
    assert cluster.nodes.run(node, ["hostname"]).stdout.strip() == node
    assert "status: done" in cluster.nodes.run(node, ["cloud-init", "status"]).stdout
    user = str(cluster.inventory.value(node, "ansible_user"))
    assert user != "root"
    assert cluster.nodes.run(node, ["sudo", "--non-interactive", "id", "--user"]).stdout.strip() == "0"
    options = cluster.nodes.run(node, ["sudo", "sshd", "-T"]).stdout.lower()
    assert "passwordauthentication no" in options


@pytest.mark.usefixtures("console")
def test_known_host_keys_are_the_machine_s_own(cluster: Cluster, node: str) -> None:
    id = machine(cluster, node)["id"]
    lines = [line.split(" ", 1) for line in known_hosts(cluster).read_text().splitlines()]
    known = {key for alias, key in lines if alias == id}
    own = cluster.nodes.run(node, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout.split()[:2]
    assert " ".join(own) in known


@pytest.mark.usefixtures("console")
@pytest.mark.parametrize("forged", ["another key", "no key"])
def test_a_machine_with_another_host_key_is_refused(
    cluster: Cluster, worker_node: str, tmp_path: Path, forged: str
) -> None:
    """The way in is the same but for the file of known hosts."""
    id, other = (machine(cluster, host)["id"] for host in (worker_node, cluster.any_host))
    lines = known_hosts(cluster).read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{id} ")]
    keys = [line.replace(other, id) for line in kept if line.startswith(f"{other} ") and forged == "another key"]
    file = tmp_path / "known_hosts"
    file.write_text("".join([*kept, *keys]))
    common = str(cluster.inventory.value(worker_node, "ansible_ssh_common_args"))
    options = shlex.split(common.replace(str(known_hosts(cluster)), str(file)))
    options += ["-o", "BatchMode=yes", "-i", str(cluster.setting("ansible_ssh_private_key_file"))]
    user, address = cluster.inventory.value(worker_node, "ansible_user"), cluster.address(worker_node)
    done = shell.run(["ssh", *options, f"{user}@{address}", "true"], check=False)
    assert done.code == 255 and "Host key verification failed" in done.stderr


def test_the_endpoint_s_record_leads_to_no_node_s_own_address(cluster: Cluster, node: str) -> None:
    """It is the load balancer's, or one that nodes pass on. Nodes ask the site's name server, which has all of them."""
    answers = cluster.nodes.run(node, ["dig", "+short", cluster.endpoint]).stdout.split()
    assert answers == [cluster.endpoint_address]
    assert answers[0] not in {cluster.address(host) for host in cluster.inventory.hosts("cluster")}
