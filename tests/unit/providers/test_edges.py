# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands between Ansible and the engine: the port table, and the inventory's host variables."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.caravan.cluster.plugins.inventory import machines
from ansible_collections.caravan.cluster.plugins.plugin_utils import port_table

MACHINE: dict[str, Any] = {
    "name": "worker-1",
    "addresses": [{"type": "InternalIP", "value": "10.0.0.4"}, {"type": "ExternalIP", "value": "192.0.2.4"}],
}


def test_the_port_table_of_the_role_node_is_what_providers_open() -> None:
    loader = DataLoader()
    variables = {"cluster_node_cidrs": ["10.0.0.0/16"], "node_firewall_admin_cidrs": ["192.0.2.0/24"]}
    found = {port["name"]: port for port in port_table.ports(loader, Templar(loader=loader), variables)}
    assert found["ssh"]["sources"] == ["192.0.2.0/24"] and found["ssh"]["first"] == found["ssh"]["last"] == 22
    assert found["etcd peers"] == {
        "name": "etcd peers",
        "protocol": "tcp",
        "first": 2380,
        "last": 2380,
        "roles": ["etcd"],
        "sources": ["10.0.0.0/16"],
    }
    assert (found["NodePorts TCP"]["first"], found["NodePorts TCP"]["last"]) == (30000, 32767)
    # What listens on the host itself only is opened nowhere, nor is what the cluster's network does not use.
    assert not {"etcd metrics", "kubelet health", "Calico VXLAN"} & set(found)
    assert found["VRRP"]["first"] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodeType=database:NoSchedule", {"key": "nodeType", "value": "database", "effect": "NoSchedule"}),
        ("example.org/gpu:NoExecute", {"key": "example.org/gpu", "effect": "NoExecute"}),
    ],
)
def test_taints_are_as_the_roles_want_them(text: str, expected: dict[str, str]) -> None:
    assert machines.taint(text) == expected


@pytest.mark.parametrize(
    ("endpoint", "vip"), [({"mode": "balancer", "address": "192.0.2.1"}, ""), ({"vip": "10.0.0.9"}, "10.0.0.9")]
)
def test_all_hosts_know_the_address_that_the_provider_has_chosen(endpoint: dict[str, Any], vip: str) -> None:
    told = {"endpoint": endpoint, "cloud_controller": {}, "storage_classes": []}
    assert machines.of_all(told)["api_endpoint_vip"] == vip


def test_the_address_to_connect_to() -> None:
    assert machines.address(MACHINE, machines.CONNECT["auto"]) == "192.0.2.4"
    assert machines.address(MACHINE, machines.CONNECT["internal"]) == "10.0.0.4"
    assert machines.address({"addresses": []}, machines.CONNECT["auto"]) == ""
