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

# provider: (module, class, packages without which it is left out)
BACKENDS = {
    "aws": ("aws_backend", "AwsBackend", ("boto3", "moto")),
    "azure": ("azure_backend", "AzureBackend", ("azure.identity", "azure.mgmt.compute", "werkzeug")),
}


@pytest.fixture(scope="session", params=sorted(BACKENDS))
def started(request: pytest.FixtureRequest) -> Iterator[Backend]:
    module, name, packages = BACKENDS[request.param]
    for package in packages:
        pytest.importorskip(package)
    backend: Backend = getattr(importlib.import_module(module), name)()
    yield backend
    backend.stop()


@pytest.fixture
def backend(started: Backend) -> Backend:
    started.reset()
    return started
