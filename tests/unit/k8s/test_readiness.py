# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster_ready: predicates, waiter and the look at a whole cluster, without one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.errors import ApiUnreachable, KubernetesError
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.predicates import (
    daemonset_missing,
    deployment_missing,
    nodes_missing,
    nodes_uninitialized,
    pods_missing,
)
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.readiness import Expected, Workload
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.waiter import Waiter, WaitTimeout

Manifest = dict[str, Any]


def node(name: str, ready: str = "True") -> Manifest:
    return {
        "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "the reason"}]},
    }


def daemonset(generation: int = 2, observed: int = 2, template: str = "2") -> Manifest:
    return {
        "metadata": {
            "name": "agent",
            "uid": "u1",
            "generation": generation,
            "annotations": {"deprecated.daemonset.template.generation": template},
        },
        "status": {"observedGeneration": observed},
    }


def pod(on: str, ready: str = "True", template: str = "2", owner: str = "u1", **metadata: str) -> Manifest:
    return {
        "metadata": {
            "name": f"agent-{on}",
            "labels": {"pod-template-generation": template},
            "ownerReferences": [{"uid": owner}],
            **metadata,
        },
        "spec": {"nodeName": on},
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": ready}]},
    }


class Cluster:
    """Answers like the client; `unreachable` times with an error first."""

    def __init__(self, **objects: list[Manifest]) -> None:
        self.objects = objects
        self.unreachable = 0

    def nodes(self) -> list[Manifest]:
        if self.unreachable:
            self.unreachable -= 1
            raise ApiUnreachable("connection refused")
        return self.objects.get("nodes", [])

    def pods(self, namespace: str) -> list[Manifest]:
        return self.objects.get("pods", [])

    def daemonsets(self, namespace: str) -> list[Manifest]:
        return self.objects.get("daemonsets", [])

    def deployments(self, namespace: str) -> list[Manifest]:
        return self.objects.get("deployments", [])

    def statefulsets(self, namespace: str) -> list[Manifest]:
        return self.objects.get("statefulsets", [])


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_nodes() -> None:
    nodes = [node("a"), node("b", "False"), node("dead", "Unknown")]
    assert nodes_missing(nodes, ["a"]) == []
    assert nodes_missing(nodes, ["c", "b"]) == ["node b is not Ready: the reason", "node c has not registered"]


def test_nodes_that_a_cloud_controller_has_not_seen_to() -> None:
    new = node("b", "False") | {"spec": {"taints": [{"key": "node.cloudprovider.kubernetes.io/uninitialized"}]}}
    nodes = [node("a", "False"), new]
    assert nodes_uninitialized(nodes, ["a"]) == []
    waiting = nodes_uninitialized(nodes, ["b", "c"])
    assert [text.split(" waits")[0] for text in waiting] == ["node b", "node c has not registered"]


@pytest.mark.parametrize(
    ("found", "pods", "wanted"),
    [
        (daemonset(), [pod("a"), pod("b")], ""),
        (daemonset(), [pod("a"), pod("b"), pod("dead", "False")], ""),
        (None, [], "DaemonSet n/agent does not exist"),
        (
            daemonset(observed=1),
            [pod("a"), pod("b")],
            "DaemonSet n/agent: the controller has not seen its newest generation",
        ),
        (daemonset(), [pod("a")], "DaemonSet n/agent is not ready on b (no pod)"),
        (
            daemonset(),
            [pod("a"), pod("b", template="1")],
            "DaemonSet n/agent is not ready on b (a pod of an older template)",
        ),
        (daemonset(), [pod("a"), pod("b", template="1"), pod("b")], ""),
        (daemonset(), [pod("a", "False"), pod("b")], "DaemonSet n/agent is not ready on a (phase Pending)"),
        (daemonset(), [pod("a"), pod("b", owner="u2")], "DaemonSet n/agent is not ready on b (no pod)"),
        (daemonset(), [pod("a"), pod("b", deletionTimestamp="now")], "DaemonSet n/agent is not ready on b (no pod)"),
    ],
)
def test_daemonset(found: Manifest | None, pods: list[Manifest], wanted: str) -> None:
    assert daemonset_missing(found, "n/agent", pods, ["a", "b"]) == wanted


def test_a_waiting_container_says_why() -> None:
    waiting = pod("a", "False")
    waiting["status"]["containerStatuses"] = [
        {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    ]
    assert "a (main ImagePullBackOff no such image)" in daemonset_missing(daemonset(), "n/agent", [waiting], ["a"])


def test_deployment() -> None:
    available: Manifest = {
        "metadata": {"name": "dns", "generation": 3},
        "status": {"observedGeneration": 3, "conditions": [{"type": "Available", "status": "True"}]},
    }
    assert deployment_missing(available, "dns") == ""
    assert "does not exist" in deployment_missing(None, "dns")
    assert "generation" in deployment_missing({**available, "status": {"observedGeneration": 2}}, "dns")
    assert "not Available" in deployment_missing({**available, "status": {"observedGeneration": 3}}, "dns")


def test_a_deployments_pods_say_why() -> None:
    stuck = pod("a", "False")
    stuck["metadata"]["labels"]["app"] = "dns"
    stuck["status"]["containerStatuses"] = [{"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    unavailable: Manifest = {
        "metadata": {"name": "dns", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "dns"}}},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Available", "status": "False", "message": "why"}]},
    }
    assert deployment_missing(unavailable, "n/dns", [stuck, pod("b", "False")]) == (
        "Deployment n/dns is not Available: why agent-a (main CrashLoopBackOff)"
    )


def test_a_whole_cluster() -> None:
    expected = Expected(nodes=("a",), daemonsets=(Workload("n", "agent"),), deployments=(Workload("n", "dns"),))
    assert expected.missing(Cluster(nodes=[node("a")], pods=[pod("a")], daemonsets=[daemonset()])) == [
        "Deployment n/dns does not exist"
    ]
    assert Expected().missing(Cluster()) == ["no node has registered"]
    assert Expected().missing(Cluster(nodes=[node("a"), node("b", "False")])) == ["node b is not Ready: the reason"]


def labelled(name: str, ready: str = "True", **metadata: str) -> Manifest:
    found = pod(name, ready, **metadata)
    found["metadata"]["labels"] = {"app": "db"}
    return found


DATABASE: Manifest = {
    "metadata": {"name": "db"},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "db"}}},
    # Of the time of a backup.
    "status": {"readyReplicas": 2},
}


@pytest.mark.parametrize(
    ("pods", "wanted"),
    [
        ([labelled("a"), labelled("b")], ""),
        ([labelled("a"), pod("b")], "StatefulSet n/db: 1 of 2 pods are Ready"),
        (
            [labelled("a"), labelled("b", "False")],
            "StatefulSet n/db: 1 of 2 pods are Ready agent-b (phase Pending)",
        ),
        ([labelled("a"), labelled("b", deletionTimestamp="now")], "StatefulSet n/db: 1 of 2 pods are Ready"),
    ],
)
def test_the_pods_of_a_workload_are_counted(pods: list[Manifest], wanted: str) -> None:
    expected = Expected(nodes=("a",), workloads=(Workload("n", "db", "StatefulSet"),))
    seen = expected.missing(Cluster(nodes=[node("a")], statefulsets=[DATABASE], pods=pods))
    assert seen == ([wanted] if wanted else [])


def test_other_workloads_are_counted_too() -> None:
    daemons = {
        **DATABASE,
        "spec": {"selector": {"matchLabels": {"app": "db"}}},
        "status": {"desiredNumberScheduled": 1},
    }
    assert pods_missing(daemons, "DaemonSet n/db", [labelled("a")]) == ""
    assert pods_missing(None, "Deployment n/db", []) == "Deployment n/db does not exist"
    by_expression = {**DATABASE, "spec": {"replicas": 2, "selector": {"matchExpressions": [{}]}}}
    assert pods_missing(by_expression, "Deployment n/db", []) == ""


def test_waiting_ends_when_nothing_is_missing() -> None:
    clock, answers = Clock(), iter([["a"], ["a"], []])
    assert Waiter(10, 0.5, clock, clock.sleep).wait(lambda: next(answers)) == 1.0


def test_a_silent_api_is_waited_for() -> None:
    clock, cluster = Clock(), Cluster(nodes=[node("a")])
    cluster.unreachable = 3
    assert Waiter(10, 0.5, clock, clock.sleep).wait(lambda: Expected().missing(cluster)) == 1.5


def test_a_refusing_api_is_not() -> None:
    def refuse() -> list[str]:
        raise KubernetesError("HTTP 403 Forbidden")

    clock = Clock()
    with pytest.raises(KubernetesError, match="403"):
        Waiter(10, 0.5, clock, clock.sleep).wait(refuse)


def test_the_time_out_says_what_was_seen_last() -> None:
    clock = Clock()
    with pytest.raises(WaitTimeout, match="not ready after 3 s; seen last: node b; node c"):
        Waiter(3, 0.5, clock, clock.sleep).wait(lambda: ["node b", "node c"])
    assert clock.now <= 103.5
