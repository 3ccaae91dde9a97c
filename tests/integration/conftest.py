# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers that tests of several parts share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from object_store_server import ObjectStore, running
from xdist.scheduler import LoadScopeScheduling


@pytest.fixture
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 server of one's own. `object_store_server.running` gives more of them, also with small disks."""
    with running(tmp_path_factory.mktemp("object-store") / "server") as store:
        yield store


CONTRACT = re.compile(r"/test_contract\.py::\w+\[(\w+)")
# The cloud of the contract is also that of OpenStack's own tests.
OPENSTACK = re.compile(r"/test_(playbook_)?openstack(_\w+)?\.py::")
# They look at all that podman has on this machine.
PODMAN = re.compile(r"/local_machines/|/test_local\.py|test_contract\.py.*\[local\b")


class SharedServers(LoadScopeScheduling):
    """Where tests run in several processes, those that share servers stay together.

    That is all of a file, except for what runs against each provider: there it is all of one provider.
    """

    def _split_scope(self, nodeid: str) -> str:
        if PODMAN.search(nodeid):
            return "podman"
        if OPENSTACK.search(nodeid):
            return "openstack"
        provider = CONTRACT.search(nodeid)
        return provider[1] if provider else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedServers:
    return SharedServers(config, log)
