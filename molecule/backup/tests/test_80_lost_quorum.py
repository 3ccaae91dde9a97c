# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two of three members are gone for good. The data of the third one is what the cluster goes on with."""

from __future__ import annotations

import json

import pytest
from cluster_tests import prober
from cluster_tests.cluster import Cluster
from cluster_tests.prober import Prober
from cluster_tests.waiting import wait_until

pytestmark = pytest.mark.journal("etcd", "kubelet")

SURVIVOR, GONE = "cp2", ("cp1", "cp3")


def test_recovered_from_the_survivor(cluster: Cluster) -> None:
    api = cluster.api()
    prober.prepare(api)
    with Prober(prober.config_map_writer(api), prefix="quorum", rate=20) as watch:
        wait_until("writes", lambda: (watch.acknowledged_since(0) >= 60, "fewer"), timeout=60)
    for name in GONE:
        cluster.machines.destroy(name)
        cluster.nodes.forget(name)
    cluster.playbooks.run("provision").succeeded()
    refused = cluster.playbooks.run("restore", arguments=("-e", "restore_from=survivor"))
    assert refused.code != 0
    assert "wanted restore_consent=" in refused.output
    arguments = ("-e", "restore_from=survivor", "-e", f"restore_consent={cluster.setting('cluster_name')}")
    run = cluster.playbooks.run("restore", arguments=arguments).succeeded()
    cluster.wait_healthy("after the quorum was lost", timeout=120)
    print(f"from the survivor in {run.seconds:.0f} s; {len(watch.record.acknowledged())} writes were acknowledged")
    assert watch.record.lost(prober.written(cluster.api())) == []
    members = json.loads(cluster.etcdctl(SURVIVOR, "member", "list", "--write-out=json"))["members"]
    assert sorted(member["name"] for member in members) == sorted(cluster.inventory.hosts("etcd"))


def test_the_survivors_old_data_was_moved_aside_not_deleted(cluster: Cluster) -> None:
    kept = cluster.nodes.run(SURVIVOR, ["find", "/var/lib/etcd", "-maxdepth", "1", "-name", "member.*"]).stdout
    assert kept.strip()
