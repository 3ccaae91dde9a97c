# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster on these machines: it is well, and its API is where the endpoint's name leads."""

from __future__ import annotations

import pytest
from cluster_tests.api import Api
from cluster_tests.cluster import Cluster

pytestmark = pytest.mark.journal("kubelet", "containerd")


def test_everything_is_healthy(cluster: Cluster) -> None:
    cluster.wait_healthy("after the run")


def test_the_api_answers_at_the_endpoint_s_address(cluster: Cluster, api: Api) -> None:
    """By the endpoint's name, which is in the certificate."""
    assert api.target.address == cluster.endpoint_address != cluster.address(cluster.any_host)
    version = str(cluster.setting("cluster_kubernetes_version"))
    assert api.get("/version")["gitVersion"] == f"v{version}"


def test_nodes_have_the_labels_of_their_pools(cluster: Cluster, api: Api) -> None:
    nodes = {one["metadata"]["name"]: one["metadata"]["labels"] for one in api.get("/api/v1/nodes")["items"]}
    assert {name: labels.get("example.org/disk") for name, labels in nodes.items()} == {
        cluster.node_name("cp-1"): None,
        cluster.node_name("worker-1"): "nvme",
    }


def test_nodes_say_which_machines_of_the_provider_they_are(cluster: Cluster, api: Api) -> None:
    nodes = {one["metadata"]["name"]: one["spec"].get("providerID", "") for one in api.get("/api/v1/nodes")["items"]}
    assert nodes == {
        cluster.node_name(host): cluster.inventory.value(host, "infrastructure_machine")["provider_id"]
        for host in cluster.inventory.hosts("cluster")
    }


def test_check_mode_of_both_sees_nothing_to_change(cluster: Cluster) -> None:
    run = cluster.playbooks.run("infrastructure", "site", arguments=("--check", "--diff")).succeeded()
    assert run.changed() == {}
