# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller dies in the middle of a first run, several times. The scenario's converge step must then complete.

These runs are also the ones in which secrets are made, so they run with -vvv --diff, and what could be seen of them
from outside is kept for the tests that look for secrets and for connections to elsewhere.
"""

from __future__ import annotations

import re

import pytest
from cluster_tests.cluster import Cluster
from cluster_tests.evidence import Evidence
from cluster_tests.watch import CommandLines, Connections

# A phase, and the seconds in it after which the controller dies: while etcd starts, while kubeadm makes the first
# control-plane node, while workers join, and while the pod network comes.
KILLS = [("etcd", 1.5), ("control plane", 4.0), ("worker", 1.5), ("network", 1.0)]


@pytest.mark.parametrize(("phase", "seconds"), KILLS)
@pytest.mark.journal("etcd", "containerd", "kubelet")
def test_the_controller_dies(cluster: Cluster, evidence: Evidence, phase: str, seconds: float) -> None:
    title = re.compile(rf"^\[\d+/\d+\] .*{phase}", re.IGNORECASE)
    with CommandLines() as processes, Connections(cluster.machines.bridge()) as connections:
        run = cluster.playbooks.run(
            "site",
            arguments=("-vvv", "--diff"),
            watch=lambda line: title.match(line) is not None,
            grace=seconds,
        )
    evidence.keep(f"interrupted in {phase}", run.output, processes.seen, connections.packets)
    assert run.code == -9, f"the run was to be killed in {phase}, but ended with {run.code}:\n{run.tail()}"
