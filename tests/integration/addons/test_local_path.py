# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local-path provisioner, with the role's arguments, configuration and rights, on a real API server.

There is no kubelet: the test itself says that a helper pod has ended, after it ran the pod's script.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from built_programs import programs
from kubernetes_api import KubernetesApi
from rendering import ROLES, Host

VERSION = "0.0.30"
NAMESPACE = "/api/v1/namespaces/local-path-storage"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
CLASS = "/apis/storage.k8s.io/v1/storageclasses/local"
NODE = "worker-9"
DIRECTORY = "/var/lib/local-path"


@pytest.fixture
def role() -> Host:
    return Host(
        "storage",
        "cp1",
        ansible_search_path=[str(ROLES / "storage")],
        ansible_play_hosts=["cp1"],
        cluster_kubeconfig="kubeconfig",
        storage_classes=[{"name": "local", "provisioner": "rancher.io/local-path", "reclaim_policy": "Delete"}],
        storage_default_class="local",
    )


@pytest.fixture
def log(kubernetes_api: KubernetesApi, role: Host, tmp_path: Path) -> Iterator[Path]:
    """What the provisioner says, while it runs as the role would have it run, with the rights of its own account."""
    objects = {(one["kind"], one["metadata"]["name"]): one for one in role.value("__storage_definitions")}
    kubernetes_api.apply(list(objects.values()), dry_run=False)
    for name, text in objects["ConfigMap", "local-path-config"]["data"].items():
        (tmp_path / name).write_text(text)
    [container] = objects["Deployment", "local-path-provisioner"]["spec"]["template"]["spec"]["containers"]
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    account = f"{NAMESPACE}/serviceaccounts/local-path-provisioner"
    kubeconfig = yaml.safe_load(kubernetes_api.kubeconfig.read_text())
    kubeconfig["users"][0]["user"]["token"] = kubernetes_api.api.call("POST", f"{account}/token", request)["status"][
        "token"
    ]
    (tmp_path / "kubeconfig").touch(mode=0o600)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    arguments = [one.replace("/etc/local-path", str(tmp_path)) for one in container["args"]]
    program = programs("local-path-provisioner", VERSION) / container["command"][0]
    environment = {**os.environ, "POD_NAMESPACE": "local-path-storage", "CONFIG_MOUNT_PATH": f"{tmp_path}/"}
    with (tmp_path / "log").open("wb") as output:
        running = subprocess.Popen(
            [str(program), *arguments, f"--kubeconfig={tmp_path / 'kubeconfig'}"],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        try:
            yield tmp_path / "log"
        finally:
            running.kill()
            running.wait()
            # The other tests begin without classes.
            kubernetes_api.api.call("DELETE", CLASS)


def eventually(seen: Callable[[], Any], log: Path, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.2)
    return found


def play_kubelet(api: KubernetesApi, pod: dict[str, Any], directory: Path) -> None:
    """Run the pod's script, in a directory of the test's, and say that the pod has ended well."""
    [container] = pod["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    variables["VOL_DIR"] = variables["VOL_DIR"].replace(DIRECTORY, str(directory / "node"))
    script = directory / Path(container["command"][-1]).name
    subprocess.run(["sh", str(script)], env={**os.environ, **variables}, check=True)
    pod["status"] = {"phase": "Succeeded"}
    api.api.call("PUT", f"{NAMESPACE}/pods/{pod['metadata']['name']}/status", pod)


def test_a_claim_gets_a_directory_on_its_node(
    kubernetes_api: KubernetesApi, role: Host, log: Path, tmp_path: Path
) -> None:
    api = kubernetes_api.api
    (tmp_path / "node").mkdir()
    api.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}})
    # What the scheduler and the volume controller would write on it.
    annotations = {
        "volume.kubernetes.io/selected-node": NODE,
        "volume.kubernetes.io/storage-provisioner": "rancher.io/local-path",
    }
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    claim = api.call("POST", CLAIMS, {"metadata": {"name": "data", "annotations": annotations}, "spec": spec})
    assert claim["spec"]["storageClassName"] == "local"

    def pods() -> list[dict[str, Any]]:
        return list(api.call("GET", f"{NAMESPACE}/pods")["items"])

    [pod] = eventually(pods, log)
    assert (pod["spec"]["nodeName"], pod["spec"]["containers"][0]["image"]) == (
        NODE,
        role.value("__storage_local_path_image"),
    )
    play_kubelet(kubernetes_api, pod, tmp_path)
    [volume] = eventually(lambda: api.call("GET", "/api/v1/persistentvolumes")["items"], log)
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    path = Path(volume["spec"]["hostPath"]["path"])
    assert str(path.parent) == DIRECTORY
    [made] = (tmp_path / "node").iterdir()
    assert (made.name, made.stat().st_mode & 0o777) == (path.name, 0o777)
    [terms] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]

    # The claim is gone, and its volume with it.
    (made / "file").write_text("data")
    name = volume["metadata"]["name"]
    volume["status"] = {"phase": "Released"}
    eventually(lambda: not pods(), log)
    api.call("DELETE", f"{CLAIMS}/data")
    api.call("PUT", f"/api/v1/persistentvolumes/{name}/status", volume)
    [pod] = eventually(pods, log)
    play_kubelet(kubernetes_api, pod, tmp_path)
    # That nothing uses it any more, a controller says that does not run here.
    eventually(lambda: "deletionTimestamp" in api.call("GET", f"/api/v1/persistentvolumes/{name}")["metadata"], log)
    assert list((tmp_path / "node").iterdir()) == []
    assert "forbidden" not in log.read_text()
