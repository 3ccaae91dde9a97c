# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that podman believes to be running while all their processes are gone.

conmon, which watches over a container, writes down that it has ended. A conmon that was killed, as for want of memory,
does not, and podman before 5.1 then neither starts, stops nor removes the container (its issue 19629). So it is written
down here, as conmon would have done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .client import Podman, run

# Of the project's containers.conf.
RUNTIME = "runc"
# Where podman of root looks for a container's exit code, unless containers.conf has a tmp_dir.
EXITS = Path("/run/libpod/exits")
KILLED = "137"
BELIEVED = ("running", "stopping", "paused")


def ended(podman: Podman) -> frozenset:
    """The ids of containers that have no process any more, as the runtime knows, whatever podman believes."""
    listed = json.loads(run([RUNTIME, "list", "--format=json"], podman.environment)) or []
    return frozenset(one["id"] for one in listed if one["status"] == "stopped")


def write_down(podman: Podman, identifiers: Iterable[str]) -> None:
    """Have podman know of those containers that have ended and whose watcher can no longer tell."""
    for identifier in ended(podman).intersection(identifiers):
        state = podman.json("inspect", "--type=container", identifier)[0]["State"]
        if state["Status"] in BELIEVED and not _watched(state["ConmonPid"], identifier):
            (EXITS / identifier).write_text(KILLED)


def _watched(pid: int, identifier: str) -> bool:
    """Whether the process is the container's conmon. One that has ended, and was not waited for, has no arguments."""
    try:
        return identifier.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
