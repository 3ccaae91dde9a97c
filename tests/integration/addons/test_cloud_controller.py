# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role cloud_controller applies, asked of a real API server, for every provider."""

from __future__ import annotations

import base64
import configparser
import json
from typing import Any

import pytest
from kubernetes_api import KUBERNETES, KubernetesApi
from rendering import ROLES, Host

CONFIGS = {
    "aws": {"cluster_name": "demo-1a2b", "region": "eu-central-1"},
    "azure": {
        "cluster_name": "demo-1a2b",
        "subscription_id": "00000000-0000-0000-0000-000000000001",
        "tenant_id": "00000000-0000-0000-0000-000000000002",
        "resource_group": "demo-1a2b",
        "location": "westeurope",
    },
    "openstack": {"cluster_name": "demo-1a2b"},
}
CREDENTIAL = {
    "auth_url": "https://keystone.example.org/v3",
    "region": "RegionOne",
    "id": "abc",
    "secret": "very secret",
    "ca": "-----BEGIN CERTIFICATE-----\n",
}
UNINITIALIZED = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "operator": "Exists", "effect": "NoSchedule"}


def host(provider: str, **settings: Any) -> Host:
    return Host(
        "cloud_controller",
        "cp1",
        **{
            "ansible_search_path": [str(ROLES / "cloud_controller")],
            "ansible_play_hosts": ["cp1"],
            "cluster_kubeconfig": "kubeconfig",
            "cluster_cloud_controller": {"name": provider, "config": CONFIGS[provider]},
            "cloud_controller_openstack_credential": CREDENTIAL if provider == "openstack" else {},
            "cluster_node_provider_id": "aws:///eu-central-1a/i-0123456789abcdef0",
            **settings,
        },
    )


@pytest.mark.parametrize("version", [KUBERNETES, "1.35.4"])
@pytest.mark.parametrize("provider", sorted(CONFIGS))
def test_the_api_takes_every_object(kubernetes_api: KubernetesApi, provider: str, version: str) -> None:
    role = host(provider, cluster_kubernetes_version=version)
    assert role.value("__cloud_controller_problems") == []
    objects = [role.value("__cloud_controller_secret"), *role.value("__cloud_controller_definitions")]
    answers = kubernetes_api.apply(objects)
    assert [(one["kind"], one["metadata"]["name"]) for one in answers] == [
        (one["kind"], one["metadata"]["name"]) for one in objects
    ]
    [manager] = [one for one in objects if one["metadata"]["name"] == "cloud-controller-manager" and "spec" in one]
    pod = manager["spec"]["template"]["spec"]
    assert UNINITIALIZED in pod["tolerations"]
    assert pod["hostNetwork"] is True
    assert "node-role.kubernetes.io/control-plane" in pod["nodeSelector"]


def configuration(provider: str, **settings: Any) -> str:
    secret = host(provider, **settings).value("__cloud_controller_secret")
    return base64.b64decode(secret["data"]["cloud-config"]).decode()


def test_the_configuration_of_each_provider() -> None:
    aws = configparser.ConfigParser()
    aws.read_string(configuration("aws", cloud_controller_aws_endpoints={"EC2": "https://ec2.internal"}))
    assert dict(aws["Global"]) == {"region": "eu-central-1", "kubernetesclusterid": "demo-1a2b"}
    assert aws['ServiceOverride "1"']["url"] == "https://ec2.internal"

    azure = json.loads(configuration("azure"))
    assert azure["useManagedIdentityExtension"] is True
    assert "aadClientSecret" not in azure

    openstack = configparser.ConfigParser()
    openstack.read_string(configuration("openstack"))
    assert openstack["Global"]["application-credential-secret"] == "very secret"
    assert openstack["Global"]["ca-file"] == "/etc/cloud-config/ca.pem"


@pytest.mark.parametrize(
    ("provider", "settings", "wanted"),
    [
        ("aws", {"cluster_node_provider_id": ""}, "cp1: cluster_node_provider_id is not set; wanted what aws calls"),
        ("openstack", {"cloud_controller_openstack_credential": {}}, "openstack_credential is not set"),
        ("azure", {"cloud_controller_config": {}}, "cloud_controller_config.tenant_id is not set"),
    ],
)
def test_bad_input_is_refused(provider: str, settings: dict[str, Any], wanted: str) -> None:
    assert any(wanted in problem for problem in host(provider, **settings).value("__cloud_controller_problems"))
