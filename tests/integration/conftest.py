# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers that tests of several parts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from object_store_server import ObjectStore, running


@pytest.fixture
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 server of one's own. `object_store_server.running` gives more of them, also with small disks."""
    with running(tmp_path_factory.mktemp("object-store") / "server") as store:
        yield store


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, those that share servers stay together.

    That is all of a file, except for what runs against each provider: there it is all of one provider. Others say it
    themselves by `pytest.mark.xdist_group`.
    """
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        callspec = getattr(item, "callspec", None)
        provider = callspec.params.get("started") if callspec else None
        item.add_marker(pytest.mark.xdist_group(provider or item.nodeid.split("::")[0]))
