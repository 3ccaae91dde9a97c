# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook runs as a user makes them: their exit code, what they changed, and how to kill one half-way."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]

_REPORT = re.compile(r"^report\s+(?P<path>/.+)$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class PlaybookRun:
    """A finished or killed run."""

    command: tuple[str, ...]
    code: int
    output: str
    seconds: float

    @cached_property
    def report(self) -> dict[str, Any]:
        """Return the JSON report that the run named at its end."""
        paths = _REPORT.findall(self.output)
        assert paths, f"the run names no report:\n{self.tail()}"
        return dict(json.loads(Path(paths[-1]).read_text()))

    @property
    def plain(self) -> str:
        """Return the output without colours, which Molecule asks for."""
        return _COLOUR.sub("", self.output)

    def changed(self) -> dict[str, list[str]]:
        """Return the hosts that changed, each with the tasks that did it."""
        return changed_tasks(self.report)

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.output.splitlines()[-lines:])

    def succeeded(self) -> PlaybookRun:
        """Return the run itself, or fail with the end of its output."""
        assert self.code == 0, f"exit code {self.code} after {self.seconds:.0f} s:\n{self.tail(80)}"
        return self


def changed_tasks(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return host -> tasks that changed something on it."""
    found: dict[str, list[str]] = {}
    for phase in report["phases"]:
        for task in phase["tasks"]:
            for host in task["hosts"].get("changed", ()):
                found.setdefault(host, []).append(f"{phase['name']}: {task['name']}")
    return found


@dataclass(frozen=True)
class Playbooks:
    """Runs playbooks of this repository against one set of inventory sources."""

    sources: tuple[Path, ...]
    environment: Mapping[str, str]

    def run(
        self,
        *playbooks: str | Path,
        arguments: Sequence[str] = (),
        sources: Sequence[Path] = (),
        timeout: float = 600,
        watch: Callable[[str], bool] | None = None,
        grace: float = 0,
    ) -> PlaybookRun:
        """Run playbooks in one process, by path, or by name: `site` is playbooks/site.yml.

        `watch` sees every line of the output; `grace` seconds after it returned true, the whole process group is killed
        (SIGKILL: no handler, no clean-up) and the run ends there.
        """
        command = [
            *(str(Path(sys.executable).with_name("ansible-playbook")),),
            *(argument for source in (*self.sources, *sources) for argument in ("-i", str(source))),
            *arguments,
            *(str(name if isinstance(name, Path) else REPOSITORY / "playbooks" / f"{name}.yml") for name in playbooks),
        ]
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PWD": str(REPOSITORY)}
            | dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        killer = threading.Timer(timeout, _kill_group, (process.pid,))
        killer.daemon = True
        killer.start()
        lines: list[str] = []
        armed = False
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                if watch is not None and not armed and watch(_COLOUR.sub("", line)):
                    armed = True
                    threading.Timer(grace, _kill_group, (process.pid,)).start()
            code = process.wait()
        finally:
            killer.cancel()
            # Who is interrupted here leaves no run behind: it has a session of its own, and would go on.
            if process.poll() is None:
                _kill_group(process.pid)
        return PlaybookRun(tuple(command), code, "".join(lines), time.monotonic() - started)


def at_task(name: str) -> Callable[[str], bool]:
    """Return what to watch for when a run is to end at a task. That there is one, tests/meta sees to."""
    return lambda line: name in line


def _kill_group(group: int) -> None:
    """Kill a process group that this module started (its leader's pid is its id), and its leader's descendants.

    Ansible's workers have sessions of their own. One that was about to answer when its parent died would wait for ever.
    """
    descendants = _descendants(group)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    for pid in descendants:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in parentheses may hold spaces; the parent is the second field after it.
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found: list[int] = []
    level = [root]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found
