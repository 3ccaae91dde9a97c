# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every node is rebooted, one after another: all comes back by itself."""

from __future__ import annotations

import pytest
from cluster_tests.cluster import Cluster
from cluster_tests.pods import Pods

pytestmark = pytest.mark.journal("etcd", "containerd", "kubelet", "haproxy")


def test_a_rebooted_node_comes_back_by_itself(cluster: Cluster, node: str) -> None:
    boot = ["cat", "/proc/1/stat"]
    before = cluster.nodes.run(node, boot).stdout.split()[21]
    cluster.machines.restart(node)
    cluster.nodes.forget(node)
    taken = cluster.wait_healthy(f"after {node} was rebooted", heard_of=[node])
    print(f"{node}: all healthy {taken:.0f} s after the reboot")
    assert cluster.nodes.run(node, boot).stdout.split()[21] != before
    failed = cluster.nodes.run(node, ["systemctl", "--failed", "--plain", "--no-legend"]).stdout
    assert failed == ""


def test_the_network_works_after_all_were_rebooted(cluster: Cluster) -> None:
    pods = Pods(cluster.api(), cluster.work_directory / "kubeconfig", "caravan-reboot")
    pods.prepare()
    try:
        control_plane, worker = cluster.inventory.hosts("control_plane")[0], cluster.inventory.hosts("worker")[0]
        pods.start("far", control_plane, {})
        pods.start("near", worker, {})
        addresses = pods.wait_ready(["far", "near"])
        pods.reaches("near", addresses["far"], "far")
        pods.reaches("far", addresses["near"], "near")
        pods.resolves("near", "udp", "kubernetes.default.svc.cluster.local", "code 0 ")
    finally:
        pods.remove()


def test_a_run_after_the_reboots_changes_nothing(cluster: Cluster) -> None:
    assert cluster.playbooks.run("site").succeeded().changed() == {}
