# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster does what a cluster is for: pods, Services, DNS, policies, logs and exec."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster_tests.api import Api
from cluster_tests.cluster import Cluster
from cluster_tests.pods import PORT, Pods

pytestmark = pytest.mark.journal("kubelet", "containerd")

SERVICE = "answers"


@pytest.fixture(scope="module")
def pods(cluster: Cluster, api: Api) -> Iterator[Pods]:
    """Two server pods on different nodes behind one Service, and a third pod that nobody has allowed anything."""
    pods = Pods(api, cluster.work_directory / "kubeconfig", "caravan-network")
    pods.prepare()
    try:
        control_plane, worker = cluster.inventory.hosts("control_plane")[0], cluster.inventory.hosts("worker")[0]
        pods.start("far", control_plane, {"app": SERVICE})
        pods.start("near", worker, {"app": SERVICE})
        pods.start("stranger", worker, {"app": "stranger"})
        selector = {"selector": {"app": SERVICE}, "ports": [{"port": PORT}]}
        api.create(f"{pods.path}/services", {"metadata": {"name": SERVICE}, "spec": selector})
        pods.wait_ready(["far", "near", "stranger"])
        yield pods
    finally:
        pods.remove()


def test_everything_is_healthy(cluster: Cluster) -> None:
    cluster.wait_healthy("after the run")


def test_pods_reach_each_other_across_nodes(pods: Pods) -> None:
    addresses = pods.wait_ready(["far", "near"])
    pods.reaches("near", addresses["far"], "far")
    pods.reaches("far", addresses["near"], "near")


def test_a_service_reaches_its_pods_on_both_nodes(api: Api, pods: Pods) -> None:
    address = api.get(f"{pods.path}/services/{SERVICE}")["spec"]["clusterIP"]
    answers: set[str] = set()
    # Chance decides who answers: so many times, and it has had its chance.
    for _ in range(50):
        answers.add(pods.reaches("stranger", address))
        if len(answers) > 1:
            break
    assert answers == {"yes: far", "yes: near"}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("pod", ["near", "far"])
def test_cluster_dns_answers(cluster: Cluster, api: Api, pods: Pods, pod: str, transport: str) -> None:
    domain = cluster.setting("cluster_dns_domain", "cluster.local")
    address = api.get(f"{pods.path}/services/{SERVICE}")["spec"]["clusterIP"]
    name = f"{SERVICE}.{pods.namespace}.svc.{domain}"
    pods.resolves(pod, transport, name, f"code 0 address {address}")


def test_names_resolve_through_the_pod_s_own_resolver(cluster: Cluster, pods: Pods) -> None:
    assert pods.execute("near", "getent", "hosts", "kubernetes.default").strip(), "kubernetes.default does not resolve"


def test_cluster_dns_knows_no_other_name(pods: Pods) -> None:
    domain_that_is_nobodys = "absent.caravan-network.svc.cluster.local"
    pods.resolves("near", "udp", domain_that_is_nobodys, "code 3 address none")


def test_logs_come_through_verified_kubelet_certificates(pods: Pods) -> None:
    # The API server verifies kubelets, so a log is proof of a serving certificate that was asked for and approved.
    assert pods.log("near") == ""
    assert pods.log("far") == ""


@pytest.fixture(scope="class")
def default_deny(api: Api, pods: Pods) -> Iterator[None]:
    path = f"/apis/networking.k8s.io/v1/namespaces/{pods.namespace}/networkpolicies"
    api.create(path, {"metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}})
    yield
    api.delete(path)


@pytest.mark.usefixtures("default_deny")
class TestNetworkPolicy:
    """Order matters: first nobody may, then the allowed may, then all may again."""

    @pytest.mark.parametrize(("source", "target"), [("near", "far"), ("far", "near"), ("stranger", "near")])
    def test_default_deny_denies(self, pods: Pods, source: str, target: str) -> None:
        pods.refused(source, pods.wait_ready([target])[target])

    def test_an_allow_allows_only_whom_it_names(self, api: Api, pods: Pods) -> None:
        addresses = pods.wait_ready(["far", "near"])
        path = f"/apis/networking.k8s.io/v1/namespaces/{pods.namespace}/networkpolicies"
        rule = {
            "podSelector": {"matchLabels": {"app": SERVICE}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": SERVICE}}}], "ports": [{"port": PORT}]}],
        }
        api.create(path, {"metadata": {"name": "allow"}, "spec": rule})
        pods.reaches("near", addresses["far"], "far")
        pods.reaches("far", addresses["near"], "near")
        pods.refused("stranger", addresses["near"])
        pods.refused("stranger", addresses["far"])


def test_without_policies_all_is_open_again(pods: Pods) -> None:
    pods.reaches("stranger", pods.wait_ready(["far"])["far"], "far")
