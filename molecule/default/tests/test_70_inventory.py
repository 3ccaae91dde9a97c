# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed inventory: only what it names is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_tests.api import Api
from cluster_tests.cluster import Cluster, condition
from cluster_tests.playbooks import PlaybookRun
from cluster_tests.waiting import wait_until

# Unreachable hosts, in ansible-playbook's exit codes.
UNREACHABLE = 4


SECRETS = "/api/v1/namespaces/kube-system/secrets"
# What a run leaves that was killed while a host joined, and a token that somebody made with kubeadm.
LEFT, FOREIGN = "bootstrap-token-leftee", "bootstrap-token-others"


def token(name: str, description: str) -> dict[str, Any]:
    """Return the Secret of a bootstrap token that lets nobody in."""
    identifier = name.removeprefix("bootstrap-token-")
    data = {"token-id": identifier, "token-secret": "0" * 16, "description": description}
    return {"metadata": {"name": name}, "type": "bootstrap.kubernetes.io/token", "stringData": data}


@pytest.fixture(scope="module")
def run_with_a_dead_host(cluster: Cluster, api: Api, scenario: Path) -> Iterator[PlaybookRun]:
    for name, description in ((LEFT, "caravan"), (FOREIGN, "somebody's own")):
        api.delete(f"{SECRETS}/{name}")
        api.create(SECRETS, token(name, description))
    try:
        yield cluster.playbooks.run("site", sources=(scenario / "dead_host",))
    finally:
        api.delete(f"{SECRETS}/{FOREIGN}")


def test_a_dead_host_does_not_stop_the_others(cluster: Cluster, run_with_a_dead_host: PlaybookRun) -> None:
    run = run_with_a_dead_host
    assert run.code == UNREACHABLE, run.tail()
    hosts = run.report["hosts"]
    assert hosts["worker3"]["unreachable"] == 1
    # All phases were worked through on the hosts that live.
    living = cluster.inventory.hosts("etcd", "control_plane", "worker")
    assert {host: (hosts[host]["failures"], hosts[host]["unreachable"]) for host in living} == dict.fromkeys(
        living, (0, 0)
    )
    assert run.report["phases"][-1]["name"] == "Certificates"
    assert "worker3" in run.output.split("PLAY RECAP")[-1]


def test_a_token_that_an_interrupted_run_left_is_gone(api: Api, run_with_a_dead_host: PlaybookRun) -> None:
    assert api.request("GET", f"{SECRETS}/{LEFT}").status == 404
    assert api.request("GET", f"{SECRETS}/{FOREIGN}").status == 200
    changed = run_with_a_dead_host.changed()
    assert [task for tasks in changed.values() for task in tasks if "tokens that an interrupted run left" in task]


@pytest.fixture(scope="module")
def new_machine(cluster: Cluster, scenario: Path) -> Iterator[str]:
    """An empty machine named worker2, removed with its node object at the end."""
    cluster.playbooks.run("provision", sources=(scenario / "worker_added",)).succeeded()
    try:
        yield "worker2"
    finally:
        cluster.machines.destroy("worker2")
        cluster.api().delete("/api/v1/nodes/worker2")


@pytest.mark.journal("kubelet", "containerd")
def test_a_worker_added_touches_no_other_host(cluster: Cluster, api: Api, scenario: Path, new_machine: str) -> None:
    run = cluster.playbooks.run("site", sources=(scenario / "worker_added",)).succeeded()
    others = cluster.inventory.hosts("etcd", "control_plane", "worker", "mirror")
    changed = run.changed()
    assert {host: changed.get(host, []) for host in others} == {host: [] for host in others}
    assert changed[new_machine]

    def look() -> tuple[bool, str]:
        seen = condition(api.get(f"/api/v1/nodes/{new_machine}"), "Ready")
        return seen == "True", f"Ready is {seen}"

    wait_until(f"{new_machine} Ready", look, 120)
