# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines are gone. New ones, with other names and addresses and fewer of them, become the cluster again.

What is left are the inventory, the stores and the age identity. The restore is cut off twice on its way.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster_tests import prober
from cluster_tests.api import Api, Identity
from cluster_tests.cluster import Cluster
from cluster_tests.inventory import load
from cluster_tests.playbooks import PlaybookRun, Playbooks
from cluster_tests.prober import Prober, Record
from cluster_tests.remote import Nodes
from cluster_tests.waiting import wait_until

pytestmark = pytest.mark.journal("etcd", "kubelet", "containerd")

NAMESPACE = "caravan-restore"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web"
OBJECTS = 3000
SECRETS = 200
RTO_BUDGET = 300
IMAGE = "registry.k8s.io/pause:3.10.1"


def template(name: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": IMAGE}]},
    }


def fill(api: Api) -> None:
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    with ThreadPoolExecutor(8) as pool:
        names = [f"object-{number}" for number in range(OBJECTS)]
        list(pool.map(lambda name: api.create(f"{CORE}/configmaps", {"metadata": {"name": name}}), names))
        secrets = [secret(f"secret-{number}") for number in range(SECRETS)]
        list(pool.map(lambda body: api.create(f"{CORE}/secrets", body), secrets))
    api.create(f"{CORE}/serviceaccounts", {"metadata": {"name": "robot"}})
    api.create(
        DEPLOYMENT.rpartition("/")[0],
        {
            "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("web")},
        },
    )
    api.create(f"{CORE}/pods", {**template("alone"), "metadata": {"name": "alone"}})
    wait_until("the workload", lambda: runs(api), timeout=120, interval=0.5)


def secret(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"value": base64.b64encode(name.encode()).decode()}}


def runs(api: Api) -> tuple[bool, str]:
    pods = api.get(f"{CORE}/pods", labelSelector="app=web")["items"]
    phases = [pod["status"].get("phase", "") for pod in pods]
    return phases == ["Running", "Running"], f"phases of the pods: {phases}"


@dataclass(frozen=True)
class Before:
    """What the old cluster gave out. `saved`: writes that were acknowledged before the backup began."""

    saved: Record
    token: str
    kubeconfig: Identity


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> Before:
    """A full cluster, backed up under load, whose machines are then all destroyed."""
    api = cluster.api()
    fill(api)
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


@pytest.mark.parametrize("step", ["Restore etcd on one host", "Start the cluster"])
def test_cut_off_in_the_middle(before: Before, restored: Cluster, step: str) -> None:
    """The same command is run again by the test that follows."""
    run = restore(restored, watch=lambda line: step in line)
    assert run.code != 0, f"the run ended before it was cut off in '{step}':\n{run.tail()}"


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
    listed = api.get(f"{CORE}/configmaps")["items"]
    assert len([item for item in listed if item["metadata"]["name"].startswith("object-")]) == OBJECTS


def test_secrets_are_readable(before: Before, restored: Cluster) -> None:
    listed = restored.api().get(f"{CORE}/secrets")["items"]
    values = {item["metadata"]["name"]: base64.b64decode(item["data"]["value"]).decode() for item in listed}
    assert values == {f"secret-{number}": f"secret-{number}" for number in range(SECRETS)}


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
