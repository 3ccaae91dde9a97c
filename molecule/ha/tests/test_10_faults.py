# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any one control-plane node, the first included, may die, freeze, or be cut off in one direction.

The prober writes 20 times a second through the endpoint's name, each time over a new verified TLS connection. Budgets
are DESIGN's: 5 s for a death, 15 s for the rest; and no write that was acknowledged may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cluster_tests import faults
from cluster_tests.cluster import Cluster

pytestmark = pytest.mark.journal("etcd", "keepalived", "haproxy", "kubelet")

KILL_BUDGET, FREEZE_BUDGET, PARTITION_BUDGET = 5.0, 15.0, 15.0


def test_everything_is_healthy(cluster: Cluster) -> None:
    cluster.wait_healthy("before the faults")


def _judge(outcome: faults.Outcome, budget: float, what: str) -> None:
    print(f"{what}: {outcome}")
    assert outcome.lost == [], str(outcome)
    assert outcome.outage <= budget, str(outcome)
    # What was wrong must not come back when the node does.
    assert outcome.outage_of_recovery <= budget, str(outcome)


def _holder(cluster: Cluster) -> str:
    """Return who holds the virtual address, for the report."""
    show = ["ip", "-brief", "address"]
    holders = [
        host
        for host in cluster.inventory.hosts("control_plane")
        if f"{cluster.endpoint_address}/" in cluster.machines.execute(host, show).stdout
    ]
    return "+".join(holders) or "nobody"


def _what(cluster: Cluster, fault: str, node: str) -> str:
    return f"{fault} {node} (virtual address on {_holder(cluster)})"


# As kubelet does: by the endpoint's name, which on a node is that of the balancer beside it.
REACH = """
import ssl, urllib.request
context = ssl.create_default_context(cafile="/etc/kubernetes/pki/ca.crt")
print(json.dumps(urllib.request.urlopen(ARGUMENT, context=context, timeout=10).status))
"""


def test_killed(cluster: Cluster, control_plane_node: str) -> None:
    reached: dict[str, int] = {}

    @contextmanager
    def killed() -> Iterator[None]:
        with cluster.machines.killed(control_plane_node):
            yield
            url = f"https://{cluster.endpoint}:{cluster.endpoint_port}/readyz"
            for worker in cluster.inventory.hosts("worker"):
                reached[worker] = cluster.nodes.python(worker, REACH, url)

    what = _what(cluster, "killed", control_plane_node)
    outcome = faults.endure(cluster, control_plane_node, "kill", killed, limit=20)
    # Workers go on without it, each through a balancer of its own.
    assert reached == dict.fromkeys(cluster.inventory.hosts("worker"), 200)
    cluster.nodes.forget(control_plane_node)
    _judge(outcome, KILL_BUDGET, what)


def test_frozen(cluster: Cluster, control_plane_node: str) -> None:
    what = _what(cluster, "frozen", control_plane_node)
    outcome = faults.endure(
        cluster, control_plane_node, "freeze", lambda: cluster.machines.frozen(control_plane_node), limit=30
    )
    _judge(outcome, FREEZE_BUDGET, what)


@pytest.mark.parametrize("direction", ["output", "input"])
def test_cut_off_one_way(cluster: Cluster, control_plane_node: str, direction: str) -> None:
    what = _what(cluster, f"cut off ({direction})", control_plane_node)
    others = cluster.inventory.hosts("control_plane", "worker", "etcd")
    peers = [cluster.address(host) for host in others if host != control_plane_node]
    outcome = faults.endure(
        cluster,
        control_plane_node,
        f"cut-{direction}",
        lambda: cluster.machines.cut_off(control_plane_node, direction, peers),
        limit=30,
    )
    _judge(outcome, PARTITION_BUDGET, what)


def test_a_run_after_all_faults_changes_nothing(cluster: Cluster) -> None:
    assert cluster.playbooks.run("site").succeeded().changed() == {}
