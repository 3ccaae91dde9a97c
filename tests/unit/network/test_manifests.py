# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network role's manifests: valid for the API, and with the rights and addresses they are meant to have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes.client
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[3] / "roles" / "network"
SETTINGS = {
    "cluster_pod_cidr": "10.244.0.0/16",
    "cluster_service_cidr": "10.96.0.0/16",
    "cluster_dns_domain": "cluster.local",
    "cluster_endpoint": "api.example.org",
    "cluster_endpoint_port": 6443,
    "cluster_kubeconfig": "kubeconfig",
}
# The operator's resource is defined by the operator itself; this is the part of its definition that is used.
INSTALLATION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["variant", "cni", "calicoNetwork"],
    "properties": {
        "variant": {"enum": ["Calico"]},
        "cni": {"type": "object", "properties": {"type": {"enum": ["Calico"]}}, "additionalProperties": False},
        "calicoNetwork": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "linuxDataplane": {"enum": ["Iptables", "BPF", "VPP", "Nftables"]},
                "bgp": {"enum": ["Enabled", "Disabled"]},
                "mtu": {"type": "integer"},
                "nodeAddressAutodetectionV4": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"kubernetes": {"enum": ["NodeInternalIP"]}},
                },
                "ipPools": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["cidr"],
                        "properties": {
                            "name": {"type": "string"},
                            "cidr": {"type": "string"},
                            "blockSize": {"type": "integer", "minimum": 20, "maximum": 32},
                            "encapsulation": {"enum": ["IPIPCrossSubnet", "IPIP", "VXLAN", "VXLANCrossSubnet", "None"]},
                            "natOutgoing": {"enum": ["Enabled", "Disabled"]},
                            "nodeSelector": {"type": "string"},
                        },
                    },
                },
            },
        },
    },
}

Render = Callable[..., Any]


@pytest.fixture
def render() -> Render:
    """The value of an expression with the role's own variables and some of the user's."""

    def value(expression: str, **settings: Any) -> Any:
        loader = DataLoader()
        variables = {"ansible_check_mode": False, "ansible_search_path": [str(ROLE)]}
        for source in ("defaults", "vars"):
            variables.update(loader.load_from_file(str(ROLE / source / "main.yml"), trusted_as_template=True))
        variables.update(SETTINGS | settings)
        return Templar(loader=loader, variables=variables).template(trust_as_template(expression))

    return value


def manifests(render: Render, **settings: Any) -> list[dict[str, Any]]:
    found = render("{{ __network_definitions }}", **settings)
    if settings.get("network_provider") == "calico":
        found = found + render(
            "{{ lookup('ansible.builtin.template', 'calico/installation.yml.j2') | from_yaml_all }}", **settings
        )
    return json.loads(json.dumps(found))


def model(manifest: dict[str, Any]) -> Any:
    group, _slash, version = manifest["apiVersion"].rpartition("/")
    prefix = {"rbac.authorization.k8s.io": "", "policy": "", "apps": "", "": ""}[group]
    return getattr(kubernetes.client, f"{prefix}{version.capitalize()}{manifest['kind']}")


def is_part(manifest: dict[str, Any]) -> bool:
    """Whether it only adds fields to an object of kubeadm's."""
    return (manifest["kind"], manifest["metadata"]["name"]) == ("Deployment", "coredns")


@pytest.mark.parametrize("provider", ["flannel", "calico"])
def test_manifests_fit_the_api(render: Render, provider: str) -> None:
    """The client's models drop fields they do not know and reject values of a wrong type."""
    for manifest in manifests(render, network_provider=provider):
        if manifest["kind"] == "Installation":
            jsonschema.validate(manifest["spec"], INSTALLATION)
        elif is_part(manifest):
            pod = manifest["spec"]["template"]["spec"]
            for constraint in pod.pop("topologySpreadConstraints"):
                known = kubernetes.client.V1TopologySpreadConstraint.from_dict(constraint)
                assert known.model_dump(by_alias=True, exclude_none=True) == constraint
            assert pod == {}
        else:
            known = model(manifest).from_dict(manifest)
            assert known.model_dump(by_alias=True, exclude_none=True) == manifest


@pytest.mark.parametrize("provider", ["flannel", "calico"])
def test_the_record_is_applied_first_and_cannot_be_changed(render: Render, provider: str) -> None:
    record = manifests(render, network_provider=provider)[0]
    assert record["immutable"] is True
    assert record["data"] == {"provider": provider, "podCIDR": "10.244.0.0/16", "serviceCIDR": "10.96.0.0/16"}


@pytest.mark.parametrize("provider", ["flannel", "calico"])
def test_a_namespace_comes_before_what_is_in_it(render: Render, provider: str) -> None:
    known = {"kube-system"}
    for manifest in manifests(render, network_provider=provider):
        if manifest["kind"] == "Namespace":
            known.add(manifest["metadata"]["name"])
        assert manifest["metadata"].get("namespace", "kube-system") in known


@pytest.mark.parametrize("provider", ["flannel", "calico"])
def test_pods_are_confined(render: Render, provider: str) -> None:
    for manifest in manifests(render, network_provider=provider):
        if manifest["kind"] not in ("DaemonSet", "Deployment") or is_part(manifest):
            continue
        pod = manifest["spec"]["template"]["spec"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"operator": "Exists"} in pod["tolerations"]
        for container in pod["containers"] + pod.get("initContainers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert set(context["capabilities"].get("add", [])) <= {"NET_ADMIN", "NET_RAW"}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert container["image"].rpartition(":")[2].startswith("v")


def test_network_pods_reach_the_api_by_the_endpoints_name(render: Render) -> None:
    for manifest in manifests(render):
        if manifest["kind"] == "DaemonSet":
            for container in manifest["spec"]["template"]["spec"]["containers"]:
                env = {entry["name"]: entry.get("value") for entry in container["env"]}
                assert env["KUBERNETES_SERVICE_HOST"] == "api.example.org"
                assert env["KUBERNETES_SERVICE_PORT"] == "6443"


def test_flannel_may_only_read_nodes_and_patch_their_status(render: Render) -> None:
    (role,) = [m for m in manifests(render) if m["kind"] == "ClusterRole" and m["metadata"]["name"] == "flannel"]
    assert {(r, v) for rule in role["rules"] for r in rule["resources"] for v in rule["verbs"]} == {
        ("nodes", "get"),
        ("nodes", "list"),
        ("nodes", "watch"),
        ("nodes/status", "patch"),
    }


@pytest.mark.parametrize(("mtu", "backend"), [(0, {}), (1400, {"MTU": 1400})])
def test_flannel_configuration(render: Render, mtu: int, backend: dict[str, int]) -> None:
    (config,) = [
        m for m in manifests(render, network_mtu=mtu) if m["metadata"]["name"] == "kube-flannel" and "data" in m
    ]
    assert json.loads(config["data"]["net-conf.json"]) == {
        "Network": "10.244.0.0/16",
        "EnableIPv4": True,
        "EnableNFTables": True,
        "Backend": {"Type": "vxlan", "VNI": 1, "Port": 8472} | backend,
    }
    assert json.loads(config["data"]["cni-conf.json"])["cniVersion"] == "0.3.1"


def test_another_flannel_configuration_replaces_the_pods(render: Render) -> None:
    def annotations(**settings: Any) -> dict[str, str]:
        (daemonset,) = [
            m
            for m in manifests(render, **settings)
            if m["kind"] == "DaemonSet" and m["metadata"]["name"] == "kube-flannel"
        ]
        found: dict[str, str] = daemonset["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations() == annotations()
    assert annotations() != annotations(network_mtu=1400)


@pytest.mark.parametrize(("mtu", "wanted"), [(0, None), (1400, 1400)])
def test_calico_settings(render: Render, mtu: int, wanted: int | None) -> None:
    network = manifests(render, network_provider="calico", network_mtu=mtu)[-1]["spec"]["calicoNetwork"]
    assert network.get("mtu") == wanted
    assert network["linuxDataplane"] == "Nftables"
    assert network["ipPools"][0]["cidr"] == "10.244.0.0/16"


def test_expected_nodes_are_the_reachable_hosts_by_their_node_names(render: Render) -> None:
    hostvars = {
        "cp1": {"inventory_hostname": "cp1"},
        "w1": {"inventory_hostname": "w1", "cluster_node_name": "worker-a"},
    }
    assert sorted(render("{{ __network_nodes }}", ansible_play_hosts=["cp1", "w1"], hostvars=hostvars)) == [
        "cp1",
        "worker-a",
    ]


@pytest.mark.parametrize(
    ("upstreams", "wanted"),
    [
        ([], None),
        (["/etc/resolv.conf"], "forward . /etc/resolv.conf {"),
        (["192.0.2.1", "192.0.2.2"], "forward . 192.0.2.1 192.0.2.2 {"),
    ],
)
def test_cluster_dns_forwards_only_where_it_is_told_to(
    render: Render, upstreams: list[str], wanted: str | None
) -> None:
    objects = manifests(render, network_dns_upstreams=upstreams)
    [corefile] = [
        item["data"]["Corefile"]
        for item in objects
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "coredns"
    ]
    forwards = [line.strip() for line in corefile.splitlines() if line.strip().startswith("forward")]
    assert forwards == ([wanted] if wanted else [])
