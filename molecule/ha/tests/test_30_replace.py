# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine is gone for good. A new, empty one takes its name and address, and one command puts it in its place."""

from __future__ import annotations

import json

import pytest
from cluster_tests import prober
from cluster_tests.cluster import Cluster
from cluster_tests.prober import Prober

pytestmark = pytest.mark.journal("etcd", "keepalived", "haproxy", "kubelet", "containerd")

# The first control-plane node is no other than the rest; a worker is simpler, but has no etcd member to hide behind.
REPLACED = ["cp1", "worker2"]


@pytest.mark.parametrize("name", REPLACED)
def test_replaced_with_one_command(cluster: Cluster, name: str) -> None:
    api = cluster.api()
    prober.prepare(api)
    old = api.get(f"/api/v1/nodes/{name}")["metadata"]["uid"]
    cluster.machines.destroy(name)
    cluster.nodes.forget(name)
    cluster.playbooks.run("provision").succeeded()
    with Prober(prober.config_map_writer(api), prefix=f"replace-{name}", rate=10) as watch:
        run = cluster.playbooks.run("replace_node", arguments=("-e", f"replace_node={name}"))
    run.succeeded()
    cluster.wait_healthy(f"after {name} was replaced")
    outage = watch.record.outage(watch.record.probes[0].started, watch.record.probes[-1].ended)
    print(f"replaced {name} in {run.seconds:.0f} s, outage {outage:.2f} s, errors {dict(watch.record.errors())}")
    assert watch.record.lost(prober.written(api)) == []
    assert api.get(f"/api/v1/nodes/{name}")["metadata"]["uid"] != old
    assert outage <= 5
    prober.clean(api)


def test_etcd_has_exactly_the_inventory_s_members(cluster: Cluster) -> None:
    members = json.loads(cluster.etcdctl(cluster.any_host, "member", "list", "--write-out=json"))["members"]
    assert sorted(member["name"] for member in members) == sorted(cluster.inventory.hosts("etcd"))
    assert not any(member.get("isLearner") for member in members)


def test_a_run_after_the_replacement_changes_nothing(cluster: Cluster) -> None:
    assert cluster.playbooks.run("site").succeeded().changed() == {}
