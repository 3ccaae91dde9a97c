# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines are gone. New ones, with other names and addresses and fewer of them, become the cluster again.

What is left are the inventory, the stores and the age identity. The restore is cut off once on its way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_tests import prober
from cluster_tests.api import Identity
from cluster_tests.cluster import Cluster
from cluster_tests.inventory import load
from cluster_tests.playbooks import PlaybookRun, Playbooks, at_task
from cluster_tests.prober import Prober, Record
from cluster_tests.remote import Nodes
from cluster_tests.waiting import wait_until
from cluster_tests.workload import CORE, NAMESPACE, OBJECTS, objects, runs, values, wanted_values

pytestmark = pytest.mark.journal("etcd", "kubelet", "containerd")

RTO_BUDGET = 300


@dataclass(frozen=True)
class Before:
    """What the old cluster gave out. `saved`: writes that were acknowledged before the backup began."""

    saved: Record
    token: str
    kubeconfig: Identity


@pytest.fixture(scope="module")
def before(filled: Cluster) -> Before:
    """A full cluster, backed up under load, whose machines are then all destroyed."""
    cluster = filled
    api = cluster.api()
    prober.prepare(api)
    request = {"spec": {"expirationSeconds": 7200}}
    token = api.create(f"{CORE}/serviceaccounts/robot/token", request)["status"]["token"]
    with Prober(prober.config_map_writer(api), prefix="write", rate=20) as watch:
        wait_until("writes", lambda: (watch.acknowledged_since(0) >= 100, "fewer"), timeout=60)
        saved = Record(watch.record.acknowledged())
        run = cluster.playbooks.run("backup").succeeded()
    print(f"backup under load in {run.seconds:.0f} s, errors {dict(watch.record.errors())}")
    kubeconfig = cluster.kubeconfig()
    for name in cluster.inventory.hosts("cluster"):
        cluster.machines.destroy(name)
        cluster.nodes.forget(name)
    return Before(saved, token, kubeconfig)


@pytest.fixture(scope="module")
def restored(cluster: Cluster, scenario: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All doors to the cluster on its new machines."""
    inventory = load(scenario / "restored")
    sockets = tmp_path_factory.mktemp("s")
    yield Cluster(inventory, Nodes(inventory, sockets), cluster.machines, Playbooks((scenario / "restored",), {}))


def restore(cluster: Cluster, *arguments: str, watch: Callable[[str], bool] | None = None) -> PlaybookRun:
    return cluster.playbooks.run("restore", arguments=("-v", "-e", "restore_from=latest", *arguments), watch=watch)


def test_a_backup_of_another_cluster_is_refused_before_anything_is_touched(before: Before, restored: Cluster) -> None:
    restored.playbooks.run("provision").succeeded()
    run = restore(restored, "-e", "cluster_service_cidr=10.97.0.0/16")
    assert run.code != 0
    assert "service_cidr is 10.97.0.0/16, the backup's is 10.96.0.0/16" in run.output
    assert restored.nodes.run("north", ["ls", "/etc/caravan"], check=False).code != 0


def test_check_mode_verifies_the_backup_and_touches_no_machine(before: Before, restored: Cluster) -> None:
    run = restore(restored, "--check").succeeded()
    print(run.tail(60))
    for host in restored.inventory.hosts("cluster"):
        assert restored.nodes.run(host, ["ls", "/etc/caravan"], check=False).code != 0
        assert restored.nodes.run(host, ["ls", "/etc/kubernetes"], check=False).code != 0


def test_cut_off_in_the_middle(before: Before, restored: Cluster) -> None:
    """The same command is run again by the test that follows. A rollback is cut off earlier, in a test of its own."""
    run = restore(restored, watch=at_task("Start the cluster"))
    assert run.code < 0, f"the run ended before it was cut off:\n{run.tail()}"


def test_restored_with_one_command(before: Before, restored: Cluster) -> None:
    run = restore(restored).succeeded()
    restored.wait_healthy("after the restore", timeout=120)
    paths = sorted((restored.work_directory / "reports").glob("*-restored.json"))
    report = json.loads(paths[-1].read_text())
    print(f"restored in {run.seconds:.0f} s: {json.dumps(report)}")
    assert f"Pod {NAMESPACE}/alone: it was on worker1, and nothing makes it again" in report["lost"]
    assert report["gone"] == sorted(["cp1", "cp2", "cp3", "worker1"])
    assert report["not_running"] == []
    assert report["rto_seconds"] <= RTO_BUDGET


def test_every_write_acknowledged_before_the_backup_is_there(before: Before, restored: Cluster) -> None:
    api = restored.api()
    assert before.saved.lost(prober.written(api)) == []
    assert objects(api) == OBJECTS


def test_secrets_are_readable(before: Before, restored: Cluster) -> None:
    """Under the keys of the backup. After all the other tests these are not the newest: it was rolled back."""
    assert values(restored.api()) == wanted_values()


def test_the_old_kubeconfig_works(before: Before, restored: Cluster) -> None:
    assert before.kubeconfig.api().get(CORE)["metadata"]["name"] == NAMESPACE


def test_the_old_token_works(before: Before, restored: Cluster) -> None:
    api = before.kubeconfig.api(anonymous=True, headers={"Authorization": f"Bearer {before.token}"})
    review = api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"metadata": {}})
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{NAMESPACE}:robot"


def test_the_workload_runs_again(before: Before, restored: Cluster) -> None:
    wait_until("the workload", lambda: runs(restored.api()), timeout=60, interval=0.5)
    nodes = {pod["spec"]["nodeName"] for pod in restored.api().get(f"{CORE}/pods")["items"]}
    assert nodes <= {"north", "south"}


def test_nothing_is_left_of_the_old_machines(before: Before, restored: Cluster) -> None:
    api = restored.api()
    for path in (
        "/api/v1/nodes",
        "/apis/storage.k8s.io/v1/csinodes",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
    ):
        assert {item["metadata"]["name"] for item in api.get(path)["items"]} == {"north", "south"}
    addresses = json.dumps(api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"))
    assert "10.98.12.31" in addresses
    assert "10.98.12.11" not in addresses


def test_nothing_of_the_restore_is_left_in_the_clear(before: Before, restored: Cluster) -> None:
    for host in restored.inventory.hosts("cluster"):
        assert restored.nodes.run(host, ["ls", "/run/caravan-restore"], check=False).code != 0
    assert restored.nodes.run("backup1", ["sh", "-c", "ls -d /dev/shm/caravan-restore*"], check=False).code != 0
    assert not (restored.work_directory / "restore").exists()


def test_a_living_cluster_is_refused(before: Before, restored: Cluster) -> None:
    run = restore(restored)
    assert run.code != 0
    assert f"wanted restore_consent={restored.setting('cluster_name')}" in run.output
    restored.wait_healthy("after a refusal", timeout=30)


def test_site_changes_nothing_afterwards(before: Before, restored: Cluster) -> None:
    assert restored.playbooks.run("site").succeeded().changed() == {}
