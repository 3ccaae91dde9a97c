# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: stdout
short_description: Phases with elapsed and estimated time, a summary, and a JSON report of every run
version_added: 0.1.0
description:
  - Shows each play as a phase, with the time it took the last time, and one line for each task that changed something.
    What is being waited for is said after O(heartbeat) seconds, and again at growing intervals.
  - Failures, warnings, diffs and C(-v) output are those of P(ansible.builtin.default#callback).
    With C(-v) every task is shown.
  - At the end it prints time and changes per phase, the hosts by name and, after C(site.yml), what runs where.
  - Every run leaves a JSON report in C(reports) below C(cluster_work_dir), mode 0600. It holds names, times and counts,
    never what a module returned.
  - Reports are written for inventories with a group C(cluster), and where O(directory) is set.
author:
  - Caravan contributors (@caravan-cluster)
options:
  heartbeat:
    description: Seconds after which a task that is still running is mentioned.
    type: float
    default: 10
    env:
      - name: CARAVAN_REPORT_HEARTBEAT
    ini:
      - section: callback_report
        key: heartbeat
  directory:
    description: Where reports are kept, in place of C(reports) below C(cluster_work_dir).
    type: path
    env:
      - name: CARAVAN_REPORT_DIRECTORY
    ini:
      - section: callback_report
        key: directory
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout callback in configuration
"""

import atexit
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.template import Templar

from ..module_utils._report import words
from ..module_utils._report.run import Estimates, PhaseRun, Run, TaskRun, estimates, write

VALIDATION = ("ansible.builtin.validate_argument_spec", "validate_argument_spec")
# What our roles' names begin with, which says nothing in a task's name.
PREFIX = "caravan.cluster."
# Keys of a failed role validation that repeat the whole specification.
NOISE = ("argument_spec_data", "validate_args_context", "argument_errors")


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "caravan.cluster.report"

    def __init__(self) -> None:
        super().__init__()
        self._run = Run(time.monotonic(), time.time(), bool(context.CLIARGS.get("check")))
        self._estimates: dict[str, Estimates] = {}
        self._playbook = ""
        self._started = 0
        self._wanted = max(1, len(context.CLIARGS.get("args") or ()))
        self._plays = 0
        self._number = 0
        self._phase: PhaseRun | None = None
        self._tasks: dict[str, TaskRun] = {}
        self._current: TaskRun | None = None
        self._directory: Path | None = None
        self._kubeconfig = ""
        self._groups: dict[str, list[str]] = {}
        self._totals: dict[str, dict[str, int]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._reported = False
        self._process = os.getpid()

    @property
    def _quiet(self) -> bool:
        return self._display.verbosity == 0

    def _say(self, line: str, color: str | None = None) -> None:
        self._display.display(line, color=color)
        # Ansible leaves that to the system, which keeps a pipe's reader waiting for a full buffer.
        sys.stdout.flush()

    # -- playbooks and phases ----------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        super().v2_playbook_on_start(playbook)
        self._started += 1
        self._playbook = Path(playbook._file_name).stem
        self._run.playbooks.append(self._playbook)
        self._plays = len(playbook.get_plays())
        self._number = 0
        if self._thread is None:
            atexit.register(self._interrupted)
            self._thread = threading.Thread(target=self._watch, name="caravan-report", daemon=True)
            self._thread.start()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._end_phase()
        self._play = play
        self._number += 1
        self._find_directory(play)
        if self._playbook not in self._estimates:
            found = estimates(self._directory, self._playbook, self._run.check) if self._directory else Estimates()
            self._estimates[self._playbook] = found
        name = play.get_name().strip() or "(unnamed play)"
        known = self._estimates[self._playbook].phases.get(name)
        title = words.phase_title(self._number, self._plays, name, known, bool(play.check_mode))
        if self._number == 1 and self._estimates[self._playbook].phases and self._plays > 1:
            title += (
                f", {words.duration(sum(self._estimates[self._playbook].phases.values()))} for all of {self._playbook}"
            )
        self._display.display("")
        self._say(title, C.COLOR_HIGHLIGHT)
        self._phase = PhaseRun(name, self._playbook, time.monotonic())
        self._run.phases.append(self._phase)

    def _end_task(self) -> None:
        task, self._current = self._current, None
        if task is None:
            return
        task.end = time.monotonic()
        line = words.task_line(task)
        if line and self._quiet:
            self._say(f"  {line}", C.COLOR_CHANGED)

    def _end_phase(self) -> None:
        self._end_task()
        phase, self._phase = self._phase, None
        if phase is None:
            return
        phase.end = time.monotonic()
        for task in phase.tasks:
            task.end = task.end or phase.end
        self._tasks.clear()
        self._say(f"  {words.phase_end(phase)}", C.COLOR_CHANGED if phase.changed else C.COLOR_OK)

    def _find_directory(self, play: Any) -> None:
        """Where reports go and what runs where, from the inventory. Read once, at the first play."""
        if self._groups:
            return
        manager = play.get_variable_manager()
        inventory = manager._inventory
        self._groups = {name: list(own) for name, own in inventory.get_groups_dict().items()}
        members = self._groups.get("cluster") or []
        configured = self.get_option("directory")
        if not members and not configured:
            return
        host = inventory.get_host(members[0]) if members else None
        variables = manager.get_vars(host=host)
        source = variables.get("inventory_dir") or (inventory._sources or ["."])[0]
        work = str(Path(os.environ.get("PWD") or ".", ".caravan", Path(str(source)).name).absolute())
        work = self._rendered(variables, "cluster_work_dir", work)
        variables.setdefault("cluster_work_dir", work)
        self._kubeconfig = self._rendered(variables, "cluster_kubeconfig", f"{work}/kubeconfig")
        self._directory = Path(configured) if configured else Path(work) / "reports"

    @staticmethod
    def _rendered(variables: dict[str, Any], name: str, default: str) -> str:
        try:
            return str(Templar(variables=variables).template(variables[name])) if name in variables else default
        except Exception:  # a report must never end a run; what is wrong with the variable is said where it is used
            return default

    # -- tasks -------------------------------------------------------------------------------------

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._begin(task)
        super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._begin(task, handler=True)
        super().v2_playbook_on_handler_task_start(task)

    def _begin(self, task: Any, handler: bool = False) -> None:
        self._end_task()
        run = self._tasks.get(task._uuid)
        if run is None:
            name = task.get_name().strip().replace(PREFIX, "", 1)
            run = self._tasks[task._uuid] = TaskRun(name, time.monotonic(), handler=handler)
            if self._phase is not None:
                self._phase.tasks.append(run)
        self._current = run

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        run = self._tasks.get(task._uuid)
        if run is not None:
            run.waiting[host.get_name()] = time.monotonic()
        super().v2_runner_on_start(host, task)

    def _note(self, result: Any, state: str) -> None:
        run = self._tasks.get(result.task._uuid)
        if run is not None:
            run.note(result.host.get_name(), state)
            if run is not self._current:
                run.end = time.monotonic()

    def _note_item(self, result: Any) -> None:
        run = self._tasks.get(result.task._uuid)
        if run is not None:
            run.items.append(time.monotonic() - run.start - sum(run.items))

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        if not self._quiet:
            super()._task_start(task, prefix)
            return
        # The banner is printed only where something has to be said about the task.
        if prefix is not None:
            self._task_type_cache[task._uuid] = prefix
        self._last_task_name = task.get_name().strip()

    # -- results -----------------------------------------------------------------------------------

    def v2_runner_on_ok(self, result: Any) -> None:
        changed = bool(result.result.get("changed", False))
        if not isinstance(result.task, TaskInclude):
            self._note(result, "changed" if changed else "ok")
        if not self._quiet or result.result.get("_ansible_verbose_always"):
            super().v2_runner_on_ok(result)
        else:
            self._handle_warnings_and_exception(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._note(result, "ok" if ignore_errors else "failed")
        if result.task.action in VALIDATION and self._display.verbosity < 2:
            for key in NOISE:
                result.result.pop(key, None)
        if self._quiet and "exception" in result.result and "\n" in str(result.result.get("msg", "")):
            # Printed in full by the base class as the exception's message; as one line of JSON nobody can read it.
            result.result.pop("msg")
        super().v2_runner_on_failed(result, ignore_errors)
        sys.stdout.flush()

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._note(result, "unreachable")
        super().v2_runner_on_unreachable(result)
        sys.stdout.flush()

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._note(result, "skipped")
        if self._quiet:
            self._handle_warnings_and_exception(result)
        else:
            super().v2_runner_on_skipped(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._note_item(result)
        if not self._quiet or result.result.get("_ansible_verbose_always"):
            super().v2_runner_item_on_ok(result)
        else:
            self._handle_warnings_and_exception(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._note_item(result)
        super().v2_runner_item_on_failed(result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        self._note_item(result)
        if not self._quiet:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_retry(self, result: Any) -> None:
        run = self._tasks.get(result.task._uuid)
        if run is not None:
            run.retries += 1
        if not self._quiet:
            super().v2_runner_retry(result)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if not self._quiet:
            super().v2_playbook_on_include(included_file)

    # -- waiting -----------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Runs beside the play. Mentions a task that takes long, at growing intervals."""
        after = max(0.1, float(self.get_option("heartbeat")))
        mentioned: tuple[TaskRun | None, float] = (None, after)
        while not self._stop.wait(min(1.0, after / 4)):
            task, phase = self._current, self._phase
            if task is None or phase is None:
                continue
            if mentioned[0] is not task:
                mentioned = (task, after)
            now = time.monotonic()
            if now - task.start >= mentioned[1]:
                mentioned = (task, max(now - task.start + after, mentioned[1] * 1.5))
                before = self._estimates.get(self._playbook, Estimates())
                try:
                    self._say(f"  ... {words.heartbeat(task, phase.name, now, before)}", C.COLOR_VERBOSE)
                except (OSError, RuntimeError):  # standard output is gone, or a host's result came in between
                    continue

    # -- the end -----------------------------------------------------------------------------------

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end_phase()
        self._totals = {host: dict(stats.summarize(host)) for host in sorted(stats.processed)}
        bad = any(own["failures"] or own["unreachable"] for own in self._totals.values())
        path = self._write("failed" if bad else "ok")
        if self._started < self._wanted and not bad:
            return
        self._reported = True
        self._stop.set()
        super().v2_playbook_on_stats(stats)
        now = time.monotonic()
        for line in words.summary(self._run, now, self._estimates):
            self._display.display(line)
        self._display.display("")
        for line in words.host_lines(self._totals):
            self._display.display(line)
        if "site" in self._run.playbooks and not bad and not self._run.check:
            self._display.display("")
            for line in words.placement(self._groups, self._kubeconfig):
                self._display.display(line)
        if path is not None:
            self._display.display("")
            self._display.display(f"{'report':<14} {path}")
        sys.stdout.flush()

    def _write(self, result: str) -> Path | None:
        if self._directory is None:
            return None
        try:
            document = self._run.document(time.monotonic(), self._totals, result)
            # Named after the first moment and all playbooks of the command, so that one run leaves one file.
            previous = self._run_path
            path = write(self._directory, self._run.file_name(), document)
            if previous is not None and previous != path:
                previous.unlink(missing_ok=True)
            self._run_path = path
            return path
        except OSError as error:
            self._display.warning(f"The run's report could not be written: {error}")
            return None

    _run_path: Path | None = None

    def _interrupted(self) -> None:
        """At exit: a run that was cut short leaves a report as well."""
        self._stop.set()
        if not self._reported and os.getpid() == self._process and self._run.phases:
            now = time.monotonic()
            for phase in self._run.phases:
                phase.end = phase.end or now
                for task in phase.tasks:
                    task.end = task.end or phase.end
            self._write("interrupted")
