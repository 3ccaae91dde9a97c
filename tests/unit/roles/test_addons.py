# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster gets from its provider: images of the catalogue, and nothing where there is no provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import catalogue
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.edges import read_catalogue
from rendering import ROLES, Host

CATALOGUE = read_catalogue(ROLES / "artifacts" / "files" / "catalogue")
MINORS = {"1.35": "1.35.4", "1.36": "1.36.3"}
AZURE = {"subscription_id": "s", "tenant_id": "t", "resource_group": "demo", "location": "westeurope"}
AWS: dict[str, Any] = {"name": "aws", "config": {"cluster_name": "demo-1a2b", "region": "eu-central-1"}}


def storage(provisioner: str, version: str = "1.36.3", **more: Any) -> Host:
    settings = {
        "ansible_search_path": [str(ROLES / "storage")],
        "ansible_play_hosts": ["cp1"],
        "cluster_kubeconfig": "kubeconfig",
        "cluster_kubernetes_version": version,
        "cluster_cloud_controller": AWS,
        "storage_classes": [{"name": "standard", "provisioner": provisioner}],
        **more,
    }
    return Host("storage", "cp1", **settings)


def controller(name: str, version: str) -> Host:
    return Host(
        "cloud_controller",
        "cp1",
        ansible_search_path=[str(ROLES / "cloud_controller")],
        cluster_kubernetes_version=version,
        cluster_cloud_controller={"name": name, "config": {**AWS["config"], **AZURE}},
        cloud_controller_openstack_credential={"auth_url": "u", "region": "r", "id": "i", "secret": "s"},
    )


def pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in objects:
        if one["kind"] in ("Deployment", "DaemonSet"):
            yield one["spec"]["template"]["spec"]


def offered() -> set[str]:
    """Every image of the catalogue, in every version that it lists."""
    return {
        catalogue.image_reference(CATALOGUE, image, version)
        for component, entry in CATALOGUE.items()
        for image in catalogue.image_names(entry)
        for version in catalogue.versions(CATALOGUE, component)
    }


def test_the_table_has_every_minor_version_that_is_supported() -> None:
    table = yaml.safe_load((ROLES / "cluster" / "vars" / "main.yml").read_text())["__cluster_addon_versions"]
    listed = {".".join(version.split(".")[:2]) for version in catalogue.versions(CATALOGUE, "kubernetes")}
    assert set(table) == listed
    assert len({frozenset(versions) for versions in table.values()}) == 1


@pytest.mark.parametrize("version", MINORS.values())
def test_every_image_is_in_the_catalogue(version: str) -> None:
    drivers = ["ebs.csi.aws.com", "disk.csi.azure.com", "cinder.csi.openstack.org", "rancher.io/local-path"]
    objects = [one for driver in drivers for one in storage(driver, version).value("__storage_definitions")]
    for name in ("aws", "azure", "openstack"):
        objects += controller(name, version).value("__cloud_controller_definitions")
    images = {container["image"] for pod in pods(objects) for container in pod["containers"]}
    assert images - offered() == set()
    assert len(images) == 13


@pytest.mark.parametrize("driver", ["ebs.csi.aws.com", "disk.csi.azure.com", "cinder.csi.openstack.org"])
def test_only_drivers_on_nodes_are_privileged(driver: str) -> None:
    for pod in pods(storage(driver).value("__storage_definitions")):
        for container in pod["containers"]:
            context = container["securityContext"]
            on_nodes = {"operator": "Exists"} in pod["tolerations"]
            assert context.get("privileged", False) is (on_nodes and container["name"].endswith("-csi"))
            assert context["readOnlyRootFilesystem"] is True
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(("control_plane", "replicas"), [(["cp1"], 1), (["cp1", "cp2", "cp3"], 2)])
def test_a_second_controller_where_there_is_a_second_host(control_plane: list[str], replicas: int) -> None:
    assert (
        storage("ebs.csi.aws.com", groups={"control_plane": control_plane}).value("__storage_controllers") == replicas
    )


def test_volumes_of_a_driver_can_grow_and_are_kept() -> None:
    [own] = storage("ebs.csi.aws.com").value("__storage_class_objects")
    assert (own["allowVolumeExpansion"], own["reclaimPolicy"], own["volumeBindingMode"]) == (
        True,
        "Retain",
        "WaitForFirstConsumer",
    )
    [disk] = storage("kubernetes.io/no-provisioner", storage_reclaim_policy="Delete").value("__storage_class_objects")
    assert (disk["allowVolumeExpansion"], disk["reclaimPolicy"]) == (False, "Retain")


@pytest.mark.parametrize("held", [[], ["0.0.29"], ["0.0.30"]])
def test_a_mirror_has_to_hold_what_is_built_for_it(held: list[str], tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    name = "docker.io/rancher/local-path-provisioner"
    index.write_text(json.dumps({"images": [{"reference": f"{name}:v{version}"} for version in held]}))
    settings = {"artifacts_source": "mirror", "artifacts_mirror_index": str(index)}
    problems = storage("rancher.io/local-path", **settings).value("__storage_problems")
    if held == ["0.0.30"]:
        assert problems == []
    else:
        [problem] = problems
        assert f"{index} has no {name}:v0.0.30; wanted it there" in problem
    assert storage("rancher.io/local-path").value("__storage_problems") == []
    assert storage("ebs.csi.aws.com", **settings).value("__storage_problems") == []


def test_kubelets_of_a_cluster_without_a_provider_are_as_before() -> None:
    host = Host("kubernetes", "worker1")
    assert "cloud-provider" not in host.template("10-kubeadm.conf.j2")
    assert "providerID" not in host.template("kubelet.conf.j2")
    assert host.value("__kubernetes_declared") == ["10.0.0.21"]


def test_kubelets_know_their_machine_and_wait_for_the_cloud_controller() -> None:
    host = Host(
        "kubernetes",
        "worker1",
        cluster_cloud_controller=AWS,
        cluster_node_provider_id="aws:///eu-central-1a/i-0123456789abcdef0",
        cluster_node_provider_addresses=[
            {"type": "InternalIP", "value": "10.0.0.21"},
            {"type": "ExternalIP", "value": "198.51.100.21"},
            {"type": "InternalDNS", "value": "ip-10-0-0-21.internal"},
            {"type": "Hostname", "value": "worker1"},
        ],
    )
    unit = host.template("10-kubeadm.conf.j2")
    assert "  --cloud-provider=external \\\n  $KUBELET_KUBEADM_ARGS" in unit
    assert yaml.safe_load(host.template("kubelet.conf.j2"))["providerID"] == "aws:///eu-central-1a/i-0123456789abcdef0"
    assert host.value("__kubernetes_declared") == ["10.0.0.21", "198.51.100.21", "ip-10-0-0-21.internal"]
