# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that lives is rolled back: a workload was deleted, and keys were rotated, after the backup.

The rollback is cut off in its middle and run again. Kubelets, kube-proxy, flannel and controllers, which have all lived
through it, are then seen to follow new objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from cluster_tests import workload
from cluster_tests.cluster import Cluster
from cluster_tests.playbooks import PlaybookRun, at_task
from cluster_tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.journal("etcd", "kubelet")]

# Revisions of restored data are this much higher, so that nobody sees the same one twice.
BUMP = 1_000_000_000
LATER = "written-later"
GHOST = "ghost"
# All that a rollback could have changed on a host, without what changes by itself.
STATE = """
import hashlib, pathlib
found = {}
for directory in ("/etc/kubernetes", "/etc/etcd", "/etc/caravan"):
    for path in sorted(pathlib.Path(directory).rglob("*")):
        if path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
for pattern in ("/var/lib/etcd/*", "/var/lib/caravan/*", "/run/caravan-restore*"):
    for path in pathlib.Path("/").glob(pattern[1:]):
        found[str(path)] = ""
processes = {}
for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
    name = path.read_text().strip()
    if name in ("etcd", "kube-apiserver", "kubelet"):
        processes[name] = path.parent.name
print(json.dumps(found | processes))
"""


@dataclass(frozen=True)
class Before:
    """The cluster of the backup. `backup`: its name."""

    cluster: Cluster
    backup: str

    def restore(self, *arguments: str, consent: bool = True, **options: Any) -> PlaybookRun:
        consents = ("-e", f"restore_consent={self.cluster.setting('cluster_name')}") if consent else ()
        # With -v, tasks are named when they begin.
        arguments = ("-v", "-e", f"restore_from={self.backup}", *consents, *arguments)
        return self.cluster.playbooks.run("restore", arguments=arguments, **options)


def backups(cluster: Cluster) -> list[dict[str, Any]]:
    """Return what the stores hold, newest first."""
    said = cluster.nodes.run(cluster.inventory.hosts("etcd")[0], ["caravan-backup", "list", "--json"]).stdout
    return list(json.loads(said)["backups"])


@pytest.fixture(scope="module")
def before(filled: Cluster) -> Before:
    """A backup, and what is to be undone: a rotation, a Secret under the new key, a Deployment that was deleted."""
    filled.playbooks.run("backup").succeeded()
    name = str(backups(filled)[0]["name"])
    filled.playbooks.run("rotate_keys").succeeded()
    api = filled.api()
    api.create(f"{workload.CORE}/secrets", workload.secret(LATER))
    api.delete(workload.DEPLOYMENT)
    wait_until("the end of the workload", lambda: workload.runs(api, 0), timeout=60)
    return Before(filled, name)


def test_a_living_cluster_is_refused_without_consent(before: Before) -> None:
    run = before.restore(consent=False)
    assert run.code != 0
    assert f"wanted restore_consent={before.cluster.setting('cluster_name')}" in run.output


def states(cluster: Cluster, hosts: Sequence[str]) -> set[tuple[str, str, str]]:
    """Return host, path or process, and digest or number of what a rollback would change."""
    return {(host, *one) for host in hosts for one in cluster.nodes.python(host, STATE).items()}


def test_check_mode_says_it_and_changes_nothing(before: Before) -> None:
    cluster = before.cluster
    hosts = cluster.inventory.hosts("cluster")
    state, stored = states(cluster, hosts), len(backups(cluster))
    run = before.restore("--check").succeeded()
    for said in (
        "in the place of the cluster that lives",
        before.backup,
        "A backup of the present is taken first.",
        f"data of etcd is moved aside on {', '.join(sorted(cluster.inventory.hosts('etcd')))}.",
    ):
        assert said in run.output, run.tail()
    assert sorted(states(cluster, hosts) ^ state) == []
    assert len(backups(cluster)) == stored


def test_cut_off_in_the_middle_and_run_again(before: Before) -> None:
    """At its worst point, when the members' data is moved aside. What runs on a host then goes on by itself."""
    cluster = before.cluster
    run = before.restore(watch=at_task("Restore etcd on one host"))
    assert run.code < 0, f"the run ended before it was cut off:\n{run.tail()}"
    run = before.restore().succeeded()
    cluster.wait_healthy("after the rollback", heard_of=cluster.inventory.hosts("control_plane", "worker"), timeout=120)
    paths = sorted((cluster.work_directory / "reports").glob("*-restored.json"))
    print(f"rolled back in {run.seconds:.0f} s: {paths[-1].read_text()}")


def test_what_came_after_the_backup_is_gone_and_the_rest_is_there(before: Before) -> None:
    api = before.cluster.api()
    assert workload.objects(api) == workload.OBJECTS
    # A revision that a client of before could have seen would be told as news that is none.
    assert int(api.get(f"{workload.CORE}/configmaps", limit="1")["metadata"]["resourceVersion"]) > BUMP


def test_every_api_server_reads_secrets_under_the_keys_of_the_backup(before: Before) -> None:
    cluster = before.cluster
    for host in cluster.inventory.hosts("control_plane"):
        assert workload.values(cluster.member_api(host)) == workload.wanted_values()


def test_the_present_was_backed_up_in_every_store(before: Before) -> None:
    newer = [backup for backup in backups(before.cluster) if backup["name"] > before.backup]
    assert any(sorted(backup["stores"]) == ["far", "near"] and backup["verified"] for backup in newer), newer


def test_nothing_was_deleted(before: Before) -> None:
    for host in before.cluster.inventory.hosts("etcd"):
        found = before.cluster.nodes.run(host, ["ls", "/var/lib/etcd", "/etc/kubernetes"]).stdout
        assert "member.removed-" in found
        assert "encryption.yml.before-restore-" in found


def test_the_workload_runs_again_and_kubelets_follow(before: Before) -> None:
    api = before.cluster.api()
    wait_until("the workload", lambda: workload.runs(api), timeout=60, interval=0.5)
    api.patch(workload.DEPLOYMENT, {"spec": {"replicas": 3}})
    wait_until("a pod more", lambda: workload.runs(api, 3), timeout=60, interval=0.5)
    api.patch(workload.DEPLOYMENT, {"spec": {"replicas": 2}})
    wait_until("a pod less", lambda: workload.runs(api), timeout=60, interval=0.5)


def test_controllers_and_kube_proxy_follow(before: Before) -> None:
    """A new Service in front of the cluster's DNS answers on every node."""
    cluster, services = before.cluster, "/api/v1/namespaces/kube-system/services"
    spec = {"selector": {"k8s-app": "kube-dns"}, "ports": [{"port": 53, "protocol": "TCP"}]}
    made = cluster.api().create(services, {"metadata": {"name": "caravan-dns"}, "spec": spec})
    address = made["spec"]["clusterIP"]
    try:
        for host in cluster.inventory.hosts("control_plane", "worker"):
            connect = f"import socket; socket.create_connection(({address!r}, 53), 2)"

            def answers(host: str = host, connect: str = connect) -> tuple[bool, str]:
                done = cluster.nodes.run(host, ["python3", "-c", connect], check=False)
                return done.code == 0, done.text[-200:]

            wait_until(f"the Service on {host}", answers, timeout=60, interval=0.5)
    finally:
        cluster.api().delete(f"{services}/caravan-dns")


@contextmanager
def ghost(cluster: Cluster) -> Iterator[str]:
    """A node that is only an object; yields the network for its pods, which a controller gave it."""
    api = cluster.api()
    flannel = {
        "flannel.alpha.coreos.com/backend-data": json.dumps({"VNI": 1, "VtepMAC": "02:00:00:00:00:63"}),
        "flannel.alpha.coreos.com/backend-type": "vxlan",
        "flannel.alpha.coreos.com/kube-subnet-manager": "true",
        "flannel.alpha.coreos.com/public-ip": "192.0.2.1",
    }
    api.create("/api/v1/nodes", {"metadata": {"name": GHOST}})
    try:
        subnet: list[str] = []

        def given() -> tuple[bool, str]:
            subnet[:] = [api.get(f"/api/v1/nodes/{GHOST}")["spec"].get("podCIDR", "")]
            return bool(subnet[0]), "no podCIDR"

        wait_until("a network for its pods", given, timeout=120, interval=0.5)
        # As on a real node, which says of itself how it is reached once it has its network.
        api.patch(f"/api/v1/nodes/{GHOST}", {"metadata": {"annotations": flannel}})
        yield subnet[0]
    finally:
        api.delete(f"/api/v1/nodes/{GHOST}")


def test_flannel_follows_nodes_that_come_and_go(before: Before) -> None:
    cluster = before.cluster
    hosts = cluster.inventory.hosts("control_plane", "worker")

    def routed(subnet: str) -> set[str]:
        return {host for host in hosts if subnet in cluster.nodes.run(host, ["ip", "route"]).stdout}

    with ghost(cluster) as subnet:
        wait_until("its routes", lambda: (routed(subnet) == set(hosts), f"{routed(subnet)}"), timeout=60, interval=0.5)
    wait_until("no route", lambda: (routed(subnet) == set(), f"{routed(subnet)}"), timeout=60, interval=0.5)


def test_site_changes_nothing_afterwards(before: Before) -> None:
    assert before.cluster.playbooks.run("site").succeeded().changed() == {}
