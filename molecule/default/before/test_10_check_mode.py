# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Empty machines in check mode: the run ends well, says what it would do, and does none of it."""

from __future__ import annotations

from cluster_tests.cluster import Cluster
from cluster_tests.state import differences, snapshot


def test_check_mode_changes_nothing_on_empty_machines(cluster: Cluster) -> None:
    hosts = cluster.inventory.hosts("etcd", "control_plane", "worker")
    before = {host: snapshot(cluster.nodes, host) for host in hosts}
    run = cluster.playbooks.run("site", arguments=("--check", "--diff")).succeeded()
    after = {host: snapshot(cluster.nodes, host) for host in hosts}
    assert {host: differences(before[host], after[host]) for host in hosts} == {host: [] for host in hosts}
    assert not (cluster.work_directory / "kubeconfig").exists()
    # It tells what it would do, on every host.
    assert set(run.changed()) >= set(hosts), run.tail()
