# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything goes that is the cluster's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cluster_tests.cluster import Cluster
from cluster_tests.inventory import load
from cluster_tests.provider import Provider
from cluster_tests.waiting import wait_until


def test_absent_leaves_nothing(cluster: Cluster, provider: Provider) -> None:
    wanted = {
        "infrastructure_state": "absent",
        "infrastructure_consent": cluster.setting("cluster_name"),
        "infrastructure_delete_data": list(provider.kept),
    }
    arguments = ("-e", json.dumps(wanted))
    known = str(cluster.setting("infrastructure_known_hosts", ""))
    assert not known or Path(known).read_text()
    cluster.playbooks.run("infrastructure", arguments=arguments).succeeded()
    # Everything of every kind is looked for again, and there is nothing that could go.
    again = cluster.playbooks.run("infrastructure", arguments=arguments).succeeded()
    # A run without hosts leaves no report.
    assert re.search(r"localhost +: ok=\d+ +changed=0 ", again.plain) and "keep " not in again.plain, again.tail()
    assert load(*cluster.playbooks.sources).hosts("cluster") == ()
    assert not known or Path(known).read_text() == ""

    mirror = [cluster.machines.container("mirror1")]
    left = cluster.machines.all if provider.machines_go else cluster.machines.powered
    wait_until("the machines' end", lambda: (left() == mirror, ", ".join(left())), 60)
