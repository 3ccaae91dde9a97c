# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the callback puts runs into words. Pure functions from runs to lines."""

from __future__ import annotations

from .run import Estimates, PhaseRun, Run, TaskRun

LISTED_HOSTS = 6


def duration(seconds: float) -> str:
    """`0.3 s`, `12 s`, `3 min 05 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"


def hosts(names: list[str], limit: int = LISTED_HOSTS) -> str:
    names = sorted(names)
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[: limit - 1])} and {len(names) - limit + 1} others"


def last_time(seconds: float | None) -> str:
    return "" if seconds is None else f" (last time {duration(seconds)})"


def phase_title(number: int, total: int, name: str, estimate: float | None, check: bool) -> str:
    mode = " [check mode]" if check else ""
    return f"[{number}/{max(number, total)}] {name}{mode}{last_time(estimate)}"


def phase_end(phase: PhaseRun) -> str:
    """`6 tasks, 2 changed on cp1, cp2; 1.3 s`."""
    count = len([task for task in phase.tasks if task.hosts])
    tasks = "1 task" if count == 1 else f"{count} tasks"
    changed = phase.hosts("changed")
    change = f"{phase.changed} changed on {hosts(changed)}" if changed else "nothing changed"
    return f"{tasks}, {change}; {duration(phase.seconds)}"


def task_line(task: TaskRun) -> str:
    """The one line of a task that changed something. A task on which nothing changed has none."""
    changed = task.having("changed")
    if not changed:
        return ""
    name = f"handler: {task.name}" if task.handler else task.name
    same = len(task.having("ok"))
    rest = f"; {same} ok" if same else ""
    return f"{name}: changed on {hosts(changed)}{rest}; {duration(task.seconds)}"


def heartbeat(task: TaskRun, phase: str, now: float, estimates: Estimates) -> str:
    """What is being waited for, for how long, and how long it took the last time."""
    key = (phase, task.name)
    parts = [f"{task.name}: {duration(now - task.start)}{last_time(estimates.tasks.get(key))}"]
    if task.items:
        total = len(estimates.items.get(key, ()))
        parts.append(f"{len(task.items)} of {total} items done" if total else f"{len(task.items)} items done")
    if task.retries:
        parts.append(f"tried {task.retries} times")
    if task.waiting:
        parts.append(f"waiting for {hosts(list(task.waiting))}")
    return ", ".join(parts)


def summary(run: Run, now: float, before: dict[str, Estimates]) -> list[str]:
    """Time and changes per phase, as a table."""
    rows = [("phase", "time", "last time", "changed")]
    for phase in run.phases:
        seconds = before.get(phase.playbook, Estimates()).phases.get(phase.name)
        known = "" if seconds is None else duration(seconds)
        rows.append((phase.name, duration(phase.seconds), known, str(phase.changed) if phase.changed else "-"))
    rows.append(("all", duration(now - run.start), "", str(sum(phase.changed for phase in run.phases) or "-")))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}".rstrip()
        for row in rows
    ]


def host_lines(totals: dict[str, dict[str, int]]) -> list[str]:
    """The hosts by name: each under the worst that happened to it."""
    found: dict[str, list[str]] = {state: [] for state in ("ok", "changed", "failed", "unreachable")}
    for host in sorted(totals):
        own = totals[host]
        state = "ok"
        for candidate, key in (("changed", "changed"), ("failed", "failures"), ("unreachable", "unreachable")):
            state = candidate if own.get(key) else state
        found[state].append(host)
    return [f"{state:<12} {hosts(names, 40) or '-'}" for state, names in found.items()]


def placement(groups: dict[str, list[str]], kubeconfig: str) -> list[str]:
    """What runs where, and how to reach it."""
    lines = [f"{label:<14} {hosts(groups[group], 12)}" for group, label in PARTS if groups.get(group)]
    return [*lines, f"{'kubeconfig':<14} {kubeconfig}"]


PARTS = (("etcd", "etcd"), ("control_plane", "control plane"), ("worker", "workers"), ("mirror", "mirror"))
