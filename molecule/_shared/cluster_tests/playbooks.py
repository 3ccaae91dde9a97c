# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook runs as a user makes them: their exit code, what they changed, and how to kill one half-way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]

_RECAP = re.compile(
    r"^(?P<host>\S+)\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)\s+"
    r"failed=(?P<failed>\d+)",
    re.MULTILINE,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Counts:
    """One host's line of the recap."""

    ok: int
    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True)
class PlaybookRun:
    """A finished or killed run."""

    command: tuple[str, ...]
    code: int
    output: str
    seconds: float

    @property
    def recap(self) -> dict[str, Counts]:
        return parse_recap(self.output)

    def changed(self) -> dict[str, int]:
        """Return the hosts that changed, with how many tasks did."""
        return {host: counts.changed for host, counts in self.recap.items() if counts.changed}

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.output.splitlines()[-lines:])


def parse_recap(output: str) -> dict[str, Counts]:
    """Return every host's counts of the last play recap in the output."""
    plain = _COLOUR.sub("", output)
    return {
        match["host"]: Counts(*(int(match[name]) for name in ("ok", "changed", "unreachable", "failed")))
        for match in _RECAP.finditer(plain)
    }


def changed_tasks(output: str) -> list[str]:
    """Return `task [host]` of every changed result in the default callback's output."""
    tasks: list[str] = []
    task = ""
    for line in _COLOUR.sub("", output).splitlines():
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            task = line.split("[", 1)[1].rsplit("]", 1)[0]
        elif line.startswith("changed: ["):
            tasks.append(f"{task} {line[len('changed: ') :]}")
    return tasks


@dataclass(frozen=True)
class Playbooks:
    """Runs playbooks of this repository against one set of inventory sources."""

    sources: tuple[Path, ...]
    environment: Mapping[str, str]

    def run(
        self,
        *playbooks: str,
        arguments: Sequence[str] = (),
        sources: Sequence[Path] = (),
        timeout: float = 600,
        watch: Callable[[str], bool] | None = None,
        grace: float = 0,
    ) -> PlaybookRun:
        """Run playbooks in one process, by name: `site` is playbooks/site.yml.

        `watch` sees every line of the output; `grace` seconds after it returned true, the whole process group is killed
        (SIGKILL: no handler, no clean-up) and the run ends there.
        """
        command = [
            *(str(Path(sys.executable).with_name("ansible-playbook")),),
            *(argument for source in (*self.sources, *sources) for argument in ("-i", str(source))),
            *arguments,
            *(str(REPOSITORY / "playbooks" / f"{name}.yml") for name in playbooks),
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
        for line in process.stdout:
            lines.append(line)
            if watch is not None and not armed and watch(_COLOUR.sub("", line)):
                armed = True
                threading.Timer(grace, _kill_group, (process.pid,)).start()
        code = process.wait()
        killer.cancel()
        return PlaybookRun(tuple(command), code, "".join(lines), time.monotonic() - started)


def _kill_group(group: int) -> None:
    """Kill a process group that this module started (its leader's pid is its id)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
