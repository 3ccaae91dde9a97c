# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role storage applies, asked of a real API server: all drivers, and the role as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_api import KUBERNETES, REPOSITORY, KubernetesApi
from rendering import ROLES, Host

CONTROLLER = {"name": "aws", "config": {"cluster_name": "demo-1a2b", "region": "eu-central-1"}}
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
PROVISIONERS = [
    "ebs.csi.aws.com",
    "disk.csi.azure.com",
    "cinder.csi.openstack.org",
    "rancher.io/local-path",
    "kubernetes.io/no-provisioner",
]


def storage_class(provisioner: str, name: str = "standard", **more: Any) -> dict[str, Any]:
    return {"name": name, "provisioner": provisioner, "parameters": {"type": "gp3"}, **more}


@pytest.mark.parametrize("provisioner", PROVISIONERS)
@pytest.mark.parametrize("version", [KUBERNETES, "1.35.4"])
def test_the_api_takes_every_object(kubernetes_api: KubernetesApi, provisioner: str, version: str) -> None:
    objects = Host(
        "storage",
        "cp1",
        cluster_kubernetes_version=version,
        ansible_search_path=[str(ROLES / "storage")],
        ansible_play_hosts=["cp1"],
        cluster_kubeconfig="kubeconfig",
        storage_classes=[storage_class(provisioner)],
        cluster_cloud_controller=CONTROLLER,
        hostvars={
            "cp1": {
                "inventory_hostname": "cp1",
                "storage_local_volumes": [{"path": "/mnt/disk1", "class": "standard"}],
                "ansible_facts": {"mounts": [{"mount": "/mnt/disk1", "size_total": 10 << 30}]},
            }
        },
    ).value("__storage_definitions")
    namespaces = [one for one in objects if one["kind"] == "Namespace"]
    kubernetes_api.apply(namespaces, dry_run=False)
    answers = kubernetes_api.apply(objects)
    assert [(one["kind"], one["metadata"]["name"]) for one in answers] == [
        (one["kind"], one["metadata"]["name"]) for one in objects
    ]


def run(api: KubernetesApi, directory: Path, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """The role, as a playbook has it."""
    play = {
        "hosts": "control_plane",
        "connection": "local",
        "gather_facts": False,
        "roles": ["caravan.cluster.storage"],
    }
    (directory / "play.yml").write_text(yaml.safe_dump([play]))
    (directory / "inventory.yml").write_text(yaml.safe_dump({"control_plane": {"hosts": {"cp1": None}}}))
    settings = {
        "cluster_name": "demo",
        "cluster_endpoint": "api.demo.example.org",
        "cluster_node_cidrs": ["10.0.0.0/24"],
        "cluster_kubeconfig": str(api.kubeconfig),
        "ansible_python_interpreter": sys.executable,
        **variables,
    }
    command = ["ansible-playbook", "-i", str(directory / "inventory.yml"), "-e", json.dumps(settings)]
    return subprocess.run(
        [*command, *arguments, str(directory / "play.yml")],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_classes_are_made_once_and_a_changed_one_is_refused(kubernetes_api: KubernetesApi, tmp_path: Path) -> None:
    classes = [storage_class("example.org/other", name) for name in ("standard", "fast")]
    foreseen = run(kubernetes_api, tmp_path, "--check", storage_classes=classes)
    assert "Would apply the storage classes standard, fast." in foreseen.stdout
    assert kubernetes_api.get(CLASSES)["items"] == []

    assert run(kubernetes_api, tmp_path, storage_classes=classes).returncode == 0
    made = {
        one["metadata"]["name"]: one for one in kubernetes_api.get("/apis/storage.k8s.io/v1/storageclasses")["items"]
    }
    default = "storageclass.kubernetes.io/is-default-class"
    assert {name: one["metadata"]["annotations"][default] for name, one in made.items()} == {
        "standard": "true",
        "fast": "false",
    }
    assert {one["volumeBindingMode"] for one in made.values()} == {"WaitForFirstConsumer"}
    assert {one["reclaimPolicy"] for one in made.values()} == {"Retain"}

    again = run(kubernetes_api, tmp_path, storage_classes=classes)
    assert again.returncode == 0
    assert "changed=0" in again.stdout

    other = run(kubernetes_api, tmp_path, storage_classes=classes, storage_reclaim_policy="Delete")
    assert other.returncode == 2
    assert "fast (reclaimPolicy)" in other.stdout
    assert "storage_reclaim_policy" in other.stdout


def test_bad_input_is_refused_before_anything_is_applied(kubernetes_api: KubernetesApi, tmp_path: Path) -> None:
    refused = run(
        kubernetes_api,
        tmp_path,
        storage_classes=[
            storage_class("kubernetes.io/no-provisioner", "disks"),
            storage_class("ebs.csi.aws.com", "ebs"),
        ],
        storage_local_volumes=[{"path": "/nowhere", "class": "disks"}, {"path": "/", "class": "fast"}],
    )
    assert refused.returncode == 2
    for part in (
        "storage_default_class is standard; wanted one of storage_classes, disks, ebs",
        "cp1: nothing is mounted at /nowhere",
        "cp1: storage_local_volumes has / in the class fast; wanted a class",
        "cluster_cloud_controller is empty",
    ):
        assert part in refused.stdout
    assert "PLAY RECAP" in refused.stdout
    assert "Apply classes" not in refused.stdout
