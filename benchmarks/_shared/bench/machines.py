# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local machines of one of the benchmarks' inventories."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from cluster_tests.inventory import load
from cluster_tests.machines import Machines
from cluster_tests.playbooks import PlaybookRun, Playbooks

from . import INVENTORIES

_PHASE = re.compile(r"\[\d+/\d+\] ")


def phases(run: PlaybookRun) -> dict[str, float]:
    """Return seconds by phase."""
    return {phase["name"]: phase["seconds"] for phase in run.report["phases"]}


def _say_phase(line: str) -> bool:
    if _PHASE.match(line):
        print(f"  {line.rstrip()}", flush=True)
    # It is asked whether the run is to be killed.
    return False


class Bench:
    """One local inventory: its machines, and how playbooks are run against it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = INVENTORIES / name
        self.inventory = load(self.source)
        self.playbooks = Playbooks((self.source,), {})
        self.machines = Machines(name)
        self.cluster = self.inventory.hosts("etcd", "control_plane", "worker")

    def run(self, *names: str, arguments: Sequence[str] = (), timeout: float = 1800) -> PlaybookRun:
        """Run playbooks to their good end, and say what goes on: the phases, as the playbooks do."""
        print(f"{self.name}: {' '.join(names)}", flush=True)
        return self.playbooks.run(*names, arguments=arguments, timeout=timeout, watch=_say_phase).succeeded()

    @contextmanager
    def mirror(self) -> Iterator[None]:
        """Inside the block the mirror serves, and no machine of the cluster exists yet."""
        self.remove()
        try:
            self.run("provision", "mirror", timeout=3600)
            self.forget()
            yield
        finally:
            self.remove()

    def forget(self) -> None:
        """Destroy the cluster's machines, and what was on them."""
        for host in self.cluster:
            self.machines.destroy(host)

    def remove(self) -> None:
        consent = ("-e", "local_machines_state=absent", "-e", f"local_machines_consent={self.name}")
        with suppress(AssertionError):
            self.run("provision", arguments=consent)
            return
        # On a busy machine a container may take longer to die than podman waits for it.
        self.run("provision", arguments=consent)
