# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run did: phases (plays), tasks, hosts, seconds. The JSON report is this; estimates come from it.

Holds names, times and counts only. What a module returned never comes here, because it may be secret.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

VERSION = 1
# States of a host in a task, the later ones win where a loop has several.
STATES = ("skipped", "ok", "changed", "failed", "unreachable")
# How many reports are looked through for an earlier run of the same playbook.
SEARCHED = 30
REPORT_NAME = re.compile(r"\d{8}T\d{6}Z-.+\.json")


@dataclass
class TaskRun:
    name: str
    start: float
    end: float = 0.0
    handler: bool = False
    hosts: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)
    items: list[float] = field(default_factory=list)
    retries: int = 0

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)

    def note(self, host: str, state: str) -> None:
        self.hosts[host] = state
        self.waiting.pop(host, None)

    def having(self, state: str) -> list[str]:
        return sorted(host for host, own in self.hosts.items() if own == state)

    def document(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "changed": len(self.having("changed")),
            "hosts": {state: self.having(state) for state in STATES if self.having(state)},
        }
        if self.handler:
            entry["handler"] = True
        if self.items:
            entry["items"] = [round(seconds, 3) for seconds in self.items]
        if self.retries:
            entry["retries"] = self.retries
        return entry


@dataclass
class PhaseRun:
    name: str
    playbook: str
    start: float
    end: float = 0.0
    tasks: list[TaskRun] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)

    @property
    def changed(self) -> int:
        return sum(len(task.having("changed")) for task in self.tasks)

    def hosts(self, state: str) -> list[str]:
        return list(dict.fromkeys(host for task in self.tasks for host in task.having(state)))

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "playbook": self.playbook,
            "seconds": round(self.seconds, 3),
            "changed": self.changed,
            "tasks": [task.document() for task in self.tasks],
        }


@dataclass
class Run:
    """One ansible-playbook command, with all its playbooks. `start` is monotonic, `started` the wall clock's epoch."""

    start: float
    started: float
    check: bool = False
    playbooks: list[str] = field(default_factory=list)
    phases: list[PhaseRun] = field(default_factory=list)

    def document(self, now: float, hosts: dict[str, dict[str, int]], result: str) -> dict[str, Any]:
        return {
            "version": VERSION,
            "playbooks": self.playbooks,
            "check_mode": self.check,
            "started": utc(self.started),
            "ended": utc(self.started + now - self.start),
            "seconds": round(now - self.start, 3),
            "result": result,
            "changed": sum(phase.changed for phase in self.phases),
            "hosts": hosts,
            "phases": [phase.document() for phase in self.phases],
        }

    def file_name(self) -> str:
        stamp = datetime.fromtimestamp(self.started, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        names = "-".join(re.sub(r"[^A-Za-z0-9_]+", "_", name) for name in self.playbooks) or "run"
        return f"{stamp}-{names[:120]}.json"


def utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(directory: Path, name: str, document: dict[str, Any]) -> Path:
    """Writes the report, readable by its owner only, in one step."""
    # Each with its mode: `parents=True` would make the inventory's directory readable for all.
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.mkdir(exist_ok=True, mode=0o700)
    path = directory / name
    temporary = directory / f".{name}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    temporary.replace(path)
    return path


@dataclass(frozen=True)
class Estimates:
    """Seconds that phases and tasks took the last time."""

    phases: dict[str, float] = field(default_factory=dict)
    tasks: dict[tuple[str, str], float] = field(default_factory=dict)
    items: dict[tuple[str, str], list[float]] = field(default_factory=dict)


def estimates(directory: Path, playbook: str, check: bool) -> Estimates:
    """From the newest successful report that has the playbook in it, in the same mode. Empty where there is none."""
    try:
        names = sorted((path for path in directory.iterdir() if REPORT_NAME.fullmatch(path.name)), reverse=True)
    except OSError:
        return Estimates()
    for path in names[:SEARCHED]:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["version"] != VERSION or document["result"] != "ok" or document["check_mode"] != check:
                continue
            phases = [phase for phase in document["phases"] if phase["playbook"] == playbook]
            if phases:
                return from_phases(phases)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return Estimates()


def from_phases(phases: list[dict[str, Any]]) -> Estimates:
    found = Estimates()
    for phase in phases:
        found.phases[phase["name"]] = found.phases.get(phase["name"], 0.0) + phase["seconds"]
        for task in phase["tasks"]:
            key = (phase["name"], task["name"])
            found.tasks[key] = max(found.tasks.get(key, 0.0), task["seconds"])
            if task.get("items"):
                found.items[key] = task["items"]
    return found
