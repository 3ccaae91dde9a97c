# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's own cloud controller, with the role's arguments, configuration and rights, between an API server and moto."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from built_programs import programs
from kubernetes_api import KubernetesApi
from moto.server import ThreadedMotoServer
from rendering import ROLES, Host

VERSION = "1.37.0"
REGION = "eu-central-1"
SERVICES = ("EC2", "Elastic Load Balancing", "Elastic Load Balancing v2", "KMS")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
# Its first build takes many minutes.
pytestmark = pytest.mark.long
ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/cloud-controller-manager"
UNINITIALIZED = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[str, Any]]:
    """moto's address, and a client of its EC2."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server._port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield url, boto3.client("ec2", region_name=REGION, endpoint_url=url)
    server.stop()


def machine(ec2: Any) -> dict[str, Any]:
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    found: dict[str, Any] = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.large")
    instance: dict[str, Any] = found["Instances"][0]
    return instance


def provider_id(instance: dict[str, Any]) -> str:
    return f"aws:///{instance['Placement']['AvailabilityZone']}/{instance['InstanceId']}"


def register(api: KubernetesApi, name: str, instance: dict[str, Any]) -> None:
    """A Node as a kubelet with --cloud-provider=external and its provider id registers it."""
    node = {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"providerID": provider_id(instance), "taints": [UNINITIALIZED]},
    }
    api.api.call("POST", "/api/v1/nodes", node)


def eventually(seen: Callable[[], Any], log: Path, seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.2)
    return found


@pytest.fixture
def log(kubernetes_api: KubernetesApi, aws: tuple[str, Any], tmp_path: Path) -> Iterator[Path]:
    """What the cloud controller says, while it runs as the role would have it run."""
    url, ec2 = aws
    network = ec2.describe_subnets()["Subnets"][0]
    role = Host(
        "cloud_controller",
        "cp1",
        ansible_search_path=[str(ROLES / "cloud_controller")],
        cluster_cloud_controller={
            "name": "aws",
            "config": {
                "cluster_name": "demo-1a2b",
                "region": REGION,
                # It runs on no machine of AWS here.
                "vpc": network["VpcId"],
                "subnet": network["SubnetId"],
            },
        },
        cloud_controller_aws_endpoints=dict.fromkeys(SERVICES, url),
    )
    rights = [one for one in role.value("__cloud_controller_definitions") if one["kind"] != "DaemonSet"]
    kubernetes_api.apply(rights, dry_run=False)
    settings = role.value("__cloud_controller_secret")["data"]["cloud-config"]
    (tmp_path / "cloud-config").write_bytes(base64.b64decode(settings))
    # With the rights of its own account, and no others.
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = kubernetes_api.api.call("POST", f"{ACCOUNT}/token", request)["status"]["token"]
    kubeconfig = yaml.safe_load(kubernetes_api.kubeconfig.read_text())
    kubeconfig["users"][0]["user"]["token"] = token
    (tmp_path / "kubeconfig").touch(mode=0o600)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    directory = role.value("__cloud_controller_directory")
    arguments = [one.replace(directory, str(tmp_path)) for one in role.value("__cloud_controller_arguments")]
    command = [
        str(programs("aws-cloud-controller-manager", VERSION) / "aws-cloud-controller-manager"),
        *arguments,
        # The last one counts: a port of its own, and not five seconds to wait for.
        f"--secure-port={free_port()}",
        "--node-monitor-period=1s",
        f"--kubeconfig={tmp_path / 'kubeconfig'}",
    ]
    with (tmp_path / "log").open("wb") as output:
        running = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env={**os.environ, **CREDENTIALS}
        )
        try:
            yield tmp_path / "log"
        finally:
            running.kill()
            running.wait()


def test_nodes_become_what_their_machines_are_and_go_with_them(
    kubernetes_api: KubernetesApi, aws: tuple[str, Any], log: Path
) -> None:
    _url, ec2 = aws
    machines = {name: machine(ec2) for name in ("cp-1", "worker-1")}
    for name, instance in machines.items():
        register(kubernetes_api, name, instance)

    def nodes() -> dict[str, dict[str, Any]]:
        found = {one["metadata"]["name"]: one for one in kubernetes_api.get("/api/v1/nodes")["items"]}
        return {name: node for name, node in found.items() if name in machines}

    def waiting() -> list[str]:
        """Without a kubelet they stay not-ready; this taint is the cloud controller's to take off."""
        key = UNINITIALIZED["key"]
        return [name for name, node in nodes().items() if key in (one["key"] for one in node["spec"].get("taints", ()))]

    eventually(lambda: not waiting(), log)
    for name, node in nodes().items():
        instance = machines[name]
        labels = node["metadata"]["labels"]
        assert labels["topology.kubernetes.io/zone"] == instance["Placement"]["AvailabilityZone"]
        assert labels["topology.kubernetes.io/region"] == REGION
        assert labels["node.kubernetes.io/instance-type"] == "t3.large"
        addresses = {(one["type"], one["address"]) for one in node["status"]["addresses"]}
        assert ("InternalIP", instance["PrivateIpAddress"]) in addresses
        assert ("InternalDNS", instance["PrivateDnsName"]) in addresses

    ec2.terminate_instances(InstanceIds=[machines["worker-1"]["InstanceId"]])
    eventually(lambda: set(nodes()) == {"cp-1"}, log)
    assert "forbidden" not in log.read_text()
