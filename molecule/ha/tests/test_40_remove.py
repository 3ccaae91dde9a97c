# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes leave for good, dead or alive, until one of each kind is left; then the whole cluster leaves its machines.

The last tests of the scenario: nothing is there afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cluster_tests.cluster import Cluster
from cluster_tests.inventory import load
from cluster_tests.playbooks import PlaybookRun

pytestmark = pytest.mark.journal("etcd", "keepalived", "haproxy", "kubelet", "containerd")

# cp1 and worker1 stay.
GONE = ("cp2", "cp3", "worker2")

# What a node has and an empty machine has not. The packet filter's own tables stay, without any rule of the cluster.
REMAINS = """
import glob, os, subprocess
def lines(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    return done.stdout.splitlines()
programs = {"kubelet", "etcd", "containerd", "containerd-shim-runc-v2", "haproxy", "keepalived", "kube-apiserver"}
found = []
for exe in glob.glob("/proc/[0-9]*/exe"):
    try:
        program = os.path.basename(os.readlink(exe).replace(" (deleted)", ""))
    except OSError:
        continue
    found += ["process " + program] if program in programs else []
found += ["file " + path for path in ARGUMENT if os.path.lexists(path)]
found += ["left in " + path for path in ("/var/lib/etcd", "/var/lib/kubelet", "/var/lib/containerd")
          if os.path.isdir(path) and os.listdir(path)]
found += ["link " + name for name in os.listdir("/sys/class/net")
          if name.startswith(("cni", "flannel", "veth", "kube"))]
found += ["namespace " + name for name in (os.listdir("/run/netns") if os.path.isdir("/run/netns") else [])]
found += ["mount " + line.split()[1] for line in open("/proc/mounts") if "/var/lib/kubelet/" in line]
found += ["rule " + line for line in lines("nft", "list", "ruleset") if "KUBE" in line or "caravan" in line]
found += ["table " + line for line in lines("nft", "list", "tables") if "kube" in line or "flannel" in line]
found += ["set " + name for name in lines("ipset", "list", "-name")]
found += ["failed " + line for line in lines("systemctl", "--failed", "--plain", "--no-legend")]
found += ["hosts " + line.strip() for line in open("/etc/hosts") if "caravan " in line]
print(json.dumps(sorted(found)))
"""
FILES = [
    "/etc/kubernetes",
    "/etc/etcd",
    "/etc/caravan",
    "/etc/containerd",
    "/usr/local/bin/kubelet",
    "/usr/local/bin/etcd",
]


def remove(cluster: Cluster, name: str, *arguments: str) -> PlaybookRun:
    wanted = ("-e", f"remove_node={name}", "-e", f"remove_node_consent={name}", *arguments)
    return cluster.playbooks.run("remove_node", arguments=wanted)


def remains(cluster: Cluster, name: str) -> list[str]:
    return list(cluster.nodes.python(name, REMAINS, FILES))


def kubernetes_nodes(cluster: Cluster) -> list[str]:
    return sorted(node["metadata"]["name"] for node in cluster.api().get("/api/v1/nodes")["items"])


def members(cluster: Cluster) -> list[str]:
    listed = json.loads(cluster.etcdctl("cp1", "member", "list", "--write-out=json"))["members"]
    return sorted(member["name"] for member in listed)


@pytest.fixture
def without(cluster: Cluster, scenario: Path, tmp_path: Path) -> Callable[..., Cluster]:
    """The cluster by an inventory out of which a user has taken some hosts."""

    def shrink(*gone: str) -> Cluster:
        (tmp_path / "group_vars").symlink_to((scenario / "inventory" / "group_vars").resolve())
        lines = (scenario / "inventory" / "hosts.yml").read_text().splitlines(keepends=True)
        starts = tuple(f"{name}:" for name in gone)
        (tmp_path / "hosts.yml").write_text("".join(line for line in lines if not line.strip().startswith(starts)))
        inventory = load(tmp_path)
        assert set(inventory.hosts("cluster")) == set(cluster.inventory.hosts("cluster")) - set(gone)
        return replace(cluster, inventory=inventory, playbooks=replace(cluster.playbooks, sources=(tmp_path,)))

    return shrink


def test_nothing_is_removed_without_consent(cluster: Cluster) -> None:
    before = kubernetes_nodes(cluster)
    for playbook, arguments, said in (
        ("remove_node", ("-e", "remove_node=worker2"), "wanted remove_node_consent=worker2"),
        ("remove_node", ("-e", "remove_node=worker9", "-e", "remove_node_consent=worker9"), "remove_node is worker9"),
        ("reset", ("-e", "reset_consent=another"), f"wanted reset_consent={cluster.setting('cluster_name')}"),
    ):
        run = cluster.playbooks.run(playbook, arguments=arguments)
        assert run.code == 2, run.tail()
        assert said in run.output
        assert run.changed() == {}
    assert kubernetes_nodes(cluster) == before


def test_check_mode_tells_and_removes_nothing(cluster: Cluster) -> None:
    run = remove(cluster, "cp2", "--check", "--diff").succeeded()
    assert "cp2" in run.changed()
    assert "-unit etcd.service" in run.output
    cluster.wait_healthy("after check mode")
    assert members(cluster) == ["cp1", "cp2", "cp3"]


def test_a_living_worker(cluster: Cluster) -> None:
    run = remove(cluster, "worker2").succeeded()
    assert any("Drain the node" in task for tasks in run.changed().values() for task in tasks)
    assert remains(cluster, "worker2") == []
    assert kubernetes_nodes(cluster) == ["cp1", "cp2", "cp3", "worker1"]


def test_a_dead_control_plane_node(cluster: Cluster) -> None:
    cluster.machines.kill("cp3")
    cluster.nodes.forget("cp3")
    run = remove(cluster, "cp3").succeeded()
    assert "cp3 did not answer" in run.output
    assert kubernetes_nodes(cluster) == ["cp1", "cp2", "worker1"]
    assert members(cluster) == ["cp1", "cp2"]


def test_a_living_control_plane_node(cluster: Cluster, without: Callable[..., Cluster]) -> None:
    """Of two members one may go, as long as the other is well."""
    remove(without("cp3", "worker2"), "cp2").succeeded()
    assert remains(cluster, "cp2") == []
    assert kubernetes_nodes(cluster) == ["cp1", "worker1"]
    assert members(cluster) == ["cp1"]


def test_those_that_stay_are_told_by_the_next_run(cluster: Cluster, without: Callable[..., Cluster]) -> None:
    small = without(*GONE)
    run = small.playbooks.run("site").succeeded()
    assert set(run.changed()) == {"cp1", "worker1"}
    small.wait_healthy("with one node of each kind")
    balancer = small.nodes.run("worker1", ["cat", "/etc/haproxy/haproxy.cfg"]).stdout
    assert [name for name in GONE if cluster.address(name) in balancer] == []


def test_reset_in_check_mode_tells_and_removes_nothing(without: Callable[..., Cluster]) -> None:
    small = without(*GONE)
    run = reset(small, "--check", "--diff").succeeded()
    assert set(run.changed()) == {"cp1", "worker1"}
    small.wait_healthy("after check mode")


def test_reset_takes_the_cluster_off_its_machines(without: Callable[..., Cluster]) -> None:
    small = without(*GONE)
    reset(small).succeeded()
    assert {host: remains(small, host) for host in ("cp1", "worker1")} == {"cp1": [], "worker1": []}
    assert reset(small).succeeded().changed() == {}


def reset(cluster: Cluster, *arguments: str) -> PlaybookRun:
    consent = ("-e", f"reset_consent={cluster.setting('cluster_name')}")
    return cluster.playbooks.run("reset", arguments=(*consent, *arguments))
