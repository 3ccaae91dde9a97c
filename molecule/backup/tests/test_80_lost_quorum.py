# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two of three members are gone for good. The cluster goes on with the data of the third one, or with a backup."""

from __future__ import annotations

import json

import pytest
from cluster_tests import prober, workload
from cluster_tests.cluster import Cluster
from cluster_tests.prober import Prober
from cluster_tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.journal("etcd", "kubelet")]

SURVIVOR, GONE = "cp2", ("cp1", "cp3")
# As a disk leaves it that lies: all is there, and none of it can be read.
DAMAGE = """
import pathlib, subprocess
subprocess.run(["systemctl", "kill", "--signal=KILL", "etcd.service"], check=True)
files = [path for path in pathlib.Path("/var/lib/etcd/member").rglob("*") if path.is_file()]
for path in files:
    with path.open("r+b") as stream:
        stream.write(bytes(1 << 20))
print(json.dumps([path.name for path in files]))
"""


def lose_the_quorum(cluster: Cluster) -> None:
    """Put empty machines in the place of two members."""
    for name in GONE:
        cluster.machines.destroy(name)
        cluster.nodes.forget(name)
    cluster.playbooks.run("provision").succeeded()


def consent(cluster: Cluster) -> tuple[str, str]:
    return "-e", f"restore_consent={cluster.setting('cluster_name')}"


def members(cluster: Cluster) -> list[str]:
    listed = json.loads(cluster.etcdctl(SURVIVOR, "member", "list", "--write-out=json"))["members"]
    return sorted(member["name"] for member in listed)


def test_recovered_from_the_survivor(filled: Cluster) -> None:
    cluster = filled
    api = cluster.api()
    prober.prepare(api)
    with Prober(prober.config_map_writer(api), prefix="quorum", rate=20) as watch:
        wait_until("writes", lambda: (watch.acknowledged_since(0) >= 60, "fewer"), timeout=60)
    lose_the_quorum(cluster)
    refused = cluster.playbooks.run("restore", arguments=("-e", "restore_from=survivor"))
    assert refused.code != 0
    assert "wanted restore_consent=" in refused.output
    arguments = ("-e", "restore_from=survivor", *consent(cluster))
    run = cluster.playbooks.run("restore", arguments=arguments).succeeded()
    cluster.wait_healthy("after the quorum was lost", timeout=120)
    print(f"from the survivor in {run.seconds:.0f} s; {len(watch.record.acknowledged())} writes were acknowledged")
    assert watch.record.lost(prober.written(cluster.api())) == []
    assert workload.values(cluster.api()) == workload.wanted_values()
    assert members(cluster) == sorted(cluster.inventory.hosts("etcd"))


def test_the_survivors_old_data_was_moved_aside_not_deleted(cluster: Cluster) -> None:
    kept = cluster.nodes.run(SURVIVOR, ["find", "/var/lib/etcd", "-maxdepth", "1", "-name", "member.*"]).stdout
    assert kept.strip()


def test_recovered_from_a_backup_where_the_survivor_s_data_is_damaged(filled: Cluster) -> None:
    cluster = filled
    api = cluster.api()
    prober.prepare(api)
    with Prober(prober.config_map_writer(api), prefix="saved", rate=20) as watch:
        wait_until("writes", lambda: (watch.acknowledged_since(0) >= 20, "fewer"), timeout=60)
    cluster.playbooks.run("backup").succeeded()
    assert cluster.nodes.python(SURVIVOR, DAMAGE), "there was nothing to damage"
    lose_the_quorum(cluster)
    refused = cluster.playbooks.run("restore", arguments=("-e", "restore_from=survivor", *consent(cluster)))
    assert refused.code != 0
    assert f"{SURVIVOR} holds what cannot" in refused.output
    arguments = ("-e", "restore_from=latest", "-e", "restore_backup_present=false", *consent(cluster))
    run = cluster.playbooks.run("restore", arguments=arguments).succeeded()
    cluster.wait_healthy("after a restore onto a damaged member", timeout=120)
    print(f"from a backup in {run.seconds:.0f} s")
    assert watch.record.lost(prober.written(cluster.api())) == []
    assert workload.values(cluster.api()) == workload.wanted_values()
    assert members(cluster) == sorted(cluster.inventory.hosts("etcd"))
