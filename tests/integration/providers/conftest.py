# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins of all providers. Each starts once; every test begins with an empty account."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from backend import Backend

# provider: (module, class). Imported only where they are used: SDKs take seconds.
BACKENDS = {
    "aws": ("aws_backend", "AwsBackend"),
    "azure": ("azure_backend", "AzureBackend"),
    "baremetal": ("baremetal_backend", "BaremetalBackend"),
    "local": ("local_backend", "LocalBackend"),
    "openstack": ("openstack_backend", "OpenStackBackend"),
}
MARKS = {
    # A whole cloud of real services takes its time.
    "openstack": [pytest.mark.long],
}


def start(provider: str) -> Backend:
    module, name = BACKENDS[provider]
    backend: Backend = getattr(importlib.import_module(module), name)()
    return backend


@pytest.fixture(scope="session")
def one_cloud() -> Iterator[Backend]:
    """OpenStack takes half a minute to start: the contract and the tests of what is its own share it."""
    backend = start("openstack")
    yield backend
    backend.stop()


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=MARKS.get(name, [])) for name in sorted(BACKENDS)],
)
def started(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "openstack":
        yield request.getfixturevalue("one_cloud")
        return
    backend = start(request.param)
    yield backend
    backend.stop()


@pytest.fixture
def backend(started: Backend) -> Backend:
    started.reset()
    return started
