# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of restores share: one cluster with much in it, which they take apart one after another."""

from __future__ import annotations

import pytest
from cluster_tests import workload
from cluster_tests.cluster import Cluster


@pytest.fixture(scope="session")
def filled(cluster: Cluster) -> Cluster:
    """The cluster, with thousands of objects, Secrets and a workload in it."""
    if cluster.api().request("GET", workload.CORE).status == 404:
        workload.fill(cluster.api())
    return cluster
