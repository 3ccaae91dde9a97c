# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A claim that names no class gets a volume, which outlives its pod and goes with its claim."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster_tests.api import Api
from cluster_tests.cluster import Cluster
from cluster_tests.pods import Pods
from cluster_tests.waiting import wait_until

pytestmark = pytest.mark.journal("kubelet", "containerd")

CLAIM = "data"


@pytest.fixture
def pods(cluster: Cluster, api: Api) -> Iterator[Pods]:
    pods = Pods(api, cluster.work_directory / "kubeconfig", "caravan-storage")
    pods.prepare()
    try:
        yield pods
    finally:
        pods.remove()


def start(pods: Pods, name: str, node: str) -> None:
    """A pod with the claim, on one node. The scheduler has to choose it: volumes are made where it says."""
    body = pods.body(name, node, {})
    spec = body["spec"]
    spec["nodeSelector"] = {"kubernetes.io/hostname": spec.pop("nodeName")}
    spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    pods.api.create(f"{pods.path}/pods", body)
    pods.wait_ready([name])


def test_a_claim_without_a_class_gets_a_volume(cluster: Cluster, api: Api, pods: Pods) -> None:
    worker = cluster.inventory.hosts("worker")[0]
    claims = f"{pods.path}/persistentvolumeclaims"
    request = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    api.create(claims, {"metadata": {"name": CLAIM}, "spec": request})

    start(pods, "writer", cluster.node_name(worker))
    pods.execute("writer", "bash", "-c", "echo kept > /data/file")
    claim = api.get(f"{claims}/{CLAIM}")
    assert (claim["status"]["phase"], claim["spec"]["storageClassName"]) == ("Bound", "standard")
    volume = api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    path = volume["spec"]["hostPath"]["path"]
    assert cluster.nodes.run(worker, ["cat", f"{path}/file"]).stdout == "kept\n"

    api.delete(f"{pods.path}/pods/writer", grace_seconds=0)
    start(pods, "reader", cluster.node_name(worker))
    assert pods.execute("reader", "cat", "/data/file").strip() == "kept"

    api.delete(f"{pods.path}/pods/reader", grace_seconds=0)
    api.delete(f"{claims}/{CLAIM}")
    left = f"/api/v1/persistentvolumes/{volume['metadata']['name']}"
    wait_until("the volume is removed", lambda: (api.request("GET", left).status == 404, "there"), 60)
    listed = cluster.nodes.run(worker, ["ls", path.rpartition("/")[0]]).stdout
    assert path.rpartition("/")[2] not in listed
