# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local machines as a user has them: a description, an inventory, and a way in; and what can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import InvalidError
from local_backend import NAME, LocalBackend
from user_way import inventory_of, playbook, run

CIDR = "10.98.62.0/24"


@pytest.fixture(scope="module")
def started() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.stop()


@pytest.fixture
def podman(started: LocalBackend) -> LocalBackend:
    started.reset()
    return started


def refused(podman: LocalBackend, description: dict[str, Any] | None = None, **settings: Any) -> str:
    podman.traffic.clear()
    with pytest.raises(InvalidError) as caught:
        own = Engine(podman.strategy(description or podman.description(), **settings))
        own.validate()
        own.plan()
    assert podman.traffic.mutating == []
    return str(caught.value)


def test_bad_input_is_told_before_anything_is_made(podman: LocalBackend) -> None:
    assert "podman has no image localhost/nothing; wanted the node image" in refused(podman, image="localhost/nothing")
    assert "vip is 'here'; wanted an address" in refused(podman, vip="here")
    assert "vip is 192.0.2.1; wanted an address in infrastructure_network.cidr" in refused(podman, vip="192.0.2.1")
    assert "mirror has one of name and directory; wanted both" in refused(podman, mirror={"name": "mirror.test"})
    zones = podman.description(failure_domains=["rack1"])
    assert "failure domains: has 'rack1'; wanted one of local" in refused(podman, zones)
    small = podman.description(network={"cidr": "10.98.60.0/28"})
    assert "cidr is 10.98.60.0/28; wanted an IPv4 network with a prefix of /27 at most" in refused(podman, small)
    endpoint = {**podman.description()["endpoint"], "mode": "balancer"}
    assert "endpoint.mode needs balancer, which local lacks" in refused(podman, podman.description(endpoint=endpoint))


def test_a_network_that_podman_has_already(podman: LocalBackend) -> None:
    podman.podman.run("network", "create", "--subnet=10.98.60.128/25", f"{NAME}-foreign")
    text = refused(podman)
    assert f"cidr is 10.98.60.0/24, and podman's network {NAME}-foreign has 10.98.60.128/25" in text


@pytest.fixture
def inventory(podman: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The inventory as it is in the repository, but for its size, its network and what the mirror serves."""
    # Where the project is, and so all that a run leaves on the controller.
    monkeypatch.setenv("PWD", str(tmp_path))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "served").write_text("by the mirror")
    disk = {"root_disk": {"size_gib": 10}}
    pool = {"name": "node", "roles": ["etcd", "control_plane", "worker"], "count": 1, "cpu": 1, "memory_gib": 2, **disk}
    own = {
        "cluster_name": NAME,
        "api_endpoint_vip": "10.98.62.100",
        "infrastructure_network": {"cidr": CIDR, "egress": "none"},
        "infrastructure_identities": [],
        "infrastructure_pools": [{**pool, "data_disks": [{"name": "data", "size_gib": 1}]}],
        "infrastructure_settings": {
            "vip": "{{ api_endpoint_vip }}",
            "ssh_directory": "{{ cluster_work_dir }}/ssh",
            "mirror": {"name": "mirror.caravan.test", "directory": str(tmp_path / "mirror")},
        },
    }
    return inventory_of("local_pools", tmp_path, own)


def test_from_nothing_to_a_shell_and_back(podman: LocalBackend, inventory: Path) -> None:
    foreign = podman.everything()
    done = playbook(inventory)
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    assert "dns: /etc/hosts on every node" in done.stdout.replace("dns.manage", "dns")

    done = run("ansible", "-i", inventory, "control_plane", "-m", "ansible.builtin.command", "-a", "cat /etc/hosts")
    assert done.returncode == 0 and "10.98.62.11 mirror.caravan.test" in done.stdout, done.stdout + done.stderr
    done = run("ansible", "-i", inventory, "all", "-m", "ansible.builtin.command", "-a", "ls /mnt /srv/mirror")
    assert "served" in done.stdout and "disks" in done.stdout, done.stdout + done.stderr

    done = playbook(inventory)
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout

    data = json.dumps({"infrastructure_delete_data": ["volume/node-1-data"]})
    done = playbook(inventory, "-e", "infrastructure_state=absent", "-e", f"infrastructure_consent={NAME}", "-e", data)
    assert done.returncode == 0, done.stdout
    assert podman.everything() == foreign
