# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker more, and one less, by the number in the description."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cluster_tests.cluster import Cluster
from cluster_tests.inventory import load
from cluster_tests.provider import Provider
from cluster_tests.remote import Nodes

NEW = "worker-2"
TWO = ("-e", "scenario_workers=2")


def now(cluster: Cluster) -> Cluster:
    """The cluster by what the provider says at this moment."""
    inventory = load(*cluster.playbooks.sources)
    return replace(cluster, inventory=inventory, nodes=Nodes(inventory, cluster.nodes.sockets))


def consent(cluster: Cluster) -> tuple[str, ...]:
    return ("-e", f"infrastructure_consent={cluster.setting('cluster_name')}")


def test_one_worker_more(cluster: Cluster) -> None:
    run = cluster.playbooks.run("infrastructure", "site", arguments=TWO).succeeded()
    # Those that are there already are left alone.
    assert NEW in run.changed() and set(run.changed()) <= {"localhost", NEW}
    larger = now(cluster)
    assert larger.inventory.hosts("worker") == ("worker-1", NEW)
    larger.wait_healthy("with a worker more")


def test_one_worker_less(cluster: Cluster, provider: Provider) -> None:
    machine = now(cluster).inventory.value(NEW, "infrastructure_machine")["id"]
    wanted = ("-e", f"remove_node={NEW}", "-e", f"remove_node_consent={NEW}")
    cluster.playbooks.run("remove_node", arguments=wanted).succeeded()

    refused = cluster.playbooks.run("infrastructure")
    assert refused.code == 2 and f"machine/{NEW}" in refused.output and "infrastructure_consent=" in refused.output
    run = cluster.playbooks.run("infrastructure", "site", arguments=consent(cluster)).succeeded()
    # Its disk holds data.
    disk = f"volume/{NEW}-data"
    assert (f"keep {disk}" in run.output) == (disk in provider.kept)
    # Nothing is left to do on the nodes that stay.
    assert set(run.changed()) == {"localhost"}
    smaller = now(cluster)
    assert smaller.inventory.hosts("cluster") == ("cp-1", "worker-1")
    known = str(cluster.setting("infrastructure_known_hosts", ""))
    assert not known or machine not in Path(known).read_text()
    smaller.wait_healthy("with a worker less")
    # Azure's ids are long; the last part is the machine's name.
    id = machine.rsplit("/", 1)[-1]
    left = cluster.machines.all() if provider.machines_go else cluster.machines.powered()
    assert not any(id in name for name in left)
