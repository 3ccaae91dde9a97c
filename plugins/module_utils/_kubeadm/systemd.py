# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs here: units and processes. `run` is AnsibleModule.run_command, or a double of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

Run = Callable[..., tuple[int, str, str]]


def parse_show(text: str) -> dict[str, str]:
    """Return the properties `systemctl show` prints. Pure."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def start_time(pid: int, proc: str = "/proc") -> float | None:
    """Return when a process started, in seconds since the epoch; None when it is gone."""
    try:
        fields = Path(proc, str(pid), "stat").read_text().rsplit(")", 1)[1].split()
        boot = next(
            int(line.split()[1]) for line in Path(proc, "stat").read_text().splitlines() if line.startswith("btime")
        )
    except (OSError, StopIteration, IndexError):
        return None
    return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def newest(paths: Iterable[str]) -> float:
    """Return the newest modification time of the files that exist; a directory stands for the files in it."""
    times = [0.0]
    for name in paths:
        path = Path(name)
        candidates = list(path.iterdir()) if path.is_dir() else [path]
        for candidate in candidates:
            try:
                times.append(candidate.stat().st_mtime)
            except OSError:
                continue
    return max(times)


def unit(run: Run, name: str, inputs: list[str], proc: str = "/proc") -> dict[str, Any]:
    """Return {active, enabled, stale, pid} of a unit.

    Stale: it runs, but started before one of its `inputs` was last written (or systemd has not read its unit yet).
    """
    _rc, out, _err = run(
        ["systemctl", "show", name, "--property=ActiveState,UnitFileState,MainPID,NeedDaemonReload,LoadState"]
    )
    shown = parse_show(out)
    pid = int(shown.get("MainPID") or 0)
    active = shown.get("ActiveState") in ("active", "activating", "reloading")
    stale = False
    if active and pid:
        began = start_time(pid, proc)
        # One second: process start times are whole clock ticks since a boot time in whole seconds.
        stale = shown.get("NeedDaemonReload") == "yes" or (began is not None and newest(inputs) > began + 1.0)
    return {
        "active": active and pid > 0,
        "enabled": shown.get("UnitFileState") == "enabled",
        "stale": stale,
        "pid": pid,
    }


def processes(name: str, proc: str = "/proc") -> list[int]:
    """Return the ids of the processes whose command is `name`."""
    found = []
    for entry in Path(proc).iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argv and Path(argv[0].decode("utf-8", "replace")).name == name:
            found.append(int(entry.name))
    return found
