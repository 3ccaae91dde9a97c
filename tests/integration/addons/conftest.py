# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One API server for all tests of what a cluster gets from its provider."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes_api import KubernetesApi, running

# Roles are rendered as the unit tests render them.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "roles"))


@pytest.fixture(scope="session")
def kubernetes_api() -> Iterator[KubernetesApi]:
    with running() as api:
        yield api
