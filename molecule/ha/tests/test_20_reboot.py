# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every node is rebooted, one after another: all comes back by itself, and clients of the API hardly notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cluster_tests import faults
from cluster_tests.cluster import Cluster

pytestmark = pytest.mark.journal("etcd", "keepalived", "haproxy", "kubelet", "containerd")

REBOOT_BUDGET = 5.0


def test_rebooted(cluster: Cluster, node: str) -> None:
    @contextmanager
    def rebooted() -> Iterator[None]:
        cluster.machines.restart(node)
        yield

    outcome = faults.endure(cluster, node, "reboot", rebooted, limit=20)
    cluster.nodes.forget(node)
    print(f"rebooted {node}: {outcome}")
    assert outcome.lost == [], str(outcome)
    assert max(outcome.outage, outcome.outage_of_recovery) <= REBOOT_BUDGET, str(outcome)
