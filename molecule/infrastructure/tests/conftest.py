# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider under test. What it lacks by its own word, and nothing else, is no test's business."""

from __future__ import annotations

import pytest
from cluster_tests.cluster import Cluster
from cluster_tests.provider import Provider
from cluster_tests.provider import provider as described


@pytest.fixture(scope="session")
def provider(cluster: Cluster) -> Provider:
    return described(str(cluster.setting("infrastructure_provider")))


@pytest.fixture
def console(provider: Provider) -> None:
    """For tests of what is read there."""
    if "console" not in provider.capabilities:
        pytest.skip(f"{provider.name} lacks the capability console")
