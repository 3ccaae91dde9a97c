# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of all scenarios. Each is one cluster, described by molecule/<scenario>/inventory.

`molecule verify -s <scenario>` runs the tests; so does `pytest molecule/<scenario>/tests` while the cluster is there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MOLECULE = Path(__file__).resolve().parent
REPOSITORY = MOLECULE.parent
sys.path.insert(0, str(MOLECULE / "_shared"))
# The inventory's paths begin at the project, wherever the tests are started.
os.environ["PWD"] = str(REPOSITORY)
os.environ.setdefault("ANSIBLE_CONFIG", str(REPOSITORY / "ansible.cfg"))

from cluster_tests.api import Api  # noqa: E402  (the path is set above)
from cluster_tests.cluster import Cluster  # noqa: E402
from cluster_tests.evidence import Evidence  # noqa: E402
from cluster_tests.inventory import Inventory, load  # noqa: E402
from cluster_tests.machines import Machines  # noqa: E402
from cluster_tests.playbooks import Playbooks  # noqa: E402
from cluster_tests.remote import Nodes  # noqa: E402

NODE_FIXTURES = {
    "node": ("etcd", "control_plane", "worker"),
    "etcd_node": ("etcd",),
    "control_plane_node": ("control_plane",),
    "worker_node": ("worker",),
    "kubernetes_node": ("control_plane", "worker"),
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "journal(*units): the units whose journals explain a failure of the test")


def _scenario(path: Path) -> Path:
    """Return the folder of the scenario that a test file is of."""
    return MOLECULE / path.resolve().relative_to(MOLECULE).parts[0]


_INVENTORIES: dict[Path, Inventory] = {}


def _source(scenario: Path) -> Path:
    """The inventory under test. A scenario for several providers has one for each."""
    folder = scenario / "inventory"
    return folder if (folder / "hosts.yml").exists() else folder / os.environ.get("CARAVAN_PROVIDER", "aws")


def _inventory(scenario: Path) -> Inventory:
    if scenario not in _INVENTORIES:
        _INVENTORIES[scenario] = load(_source(scenario))
    return _INVENTORIES[scenario]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for every host of the groups that its fixture stands for."""
    for fixture, groups in NODE_FIXTURES.items():
        if fixture in metafunc.fixturenames:
            hosts = _inventory(_scenario(Path(str(metafunc.definition.path)))).hosts(*groups)
            metafunc.parametrize(fixture, hosts)


@pytest.fixture(scope="session")
def scenario(request: pytest.FixtureRequest) -> Path:
    """The folder of the scenario under test."""
    folders = {_scenario(Path(str(item.path))) for item in request.session.items}
    assert len(folders) == 1, f"one scenario at a time, not {sorted(folder.name for folder in folders)}"
    return folders.pop()


@pytest.fixture(scope="session")
def cluster(scenario: Path) -> Iterator[Cluster]:
    """All doors to the scenario's cluster."""
    inventory = _inventory(scenario)
    name = inventory.value(inventory.hosts("control_plane")[0], "local_machines_name")
    # Short, because a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ssh-") as sockets:
        yield Cluster(
            inventory,
            Nodes(inventory, Path(sockets)),
            Machines(name),
            Playbooks((_source(scenario),), {}),
        )


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Api:
    """The API through the endpoint, as the kubeconfig on the controller has it."""
    return cluster.api()


@pytest.fixture(scope="session")
def evidence(cluster: Cluster) -> Evidence:
    """What earlier steps saw of the runs."""
    return Evidence(cluster.work_directory / "evidence")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add the journals of the units that a failed test names: of its node, or of all nodes."""
    report = yield
    marker = item.get_closest_marker("journal")
    arguments = getattr(item, "funcargs", {})
    if call.when == "call" and report.failed and marker and "cluster" in arguments:
        cluster: Cluster = arguments["cluster"]
        one = [arguments[name] for name in NODE_FIXTURES if name in arguments]
        for host in one or cluster.inventory.hosts("etcd", "control_plane", "worker"):
            report.sections.append((f"journal of {host}", cluster.nodes.journal(host, marker.args)))
    return report
