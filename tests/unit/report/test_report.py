# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of runs: what is recorded, how the next run finds it, and how it is put into words."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._report import run, words


def sample() -> run.Run:
    made = run.Run(start=100.0, started=1795161600.0, playbooks=["provision", "site"])
    phase = run.PhaseRun("Set up etcd", "site", start=100.0, end=112.5)
    first = run.TaskRun("etcd : Install", start=100.0, end=103.0)
    first.waiting = {"cp1": 100.0, "cp2": 100.0}
    first.note("cp1", "changed")
    first.note("cp2", "ok")
    second = run.TaskRun("etcd : Wait", start=103.0, end=112.5, items=[4.0, 5.0], retries=3)
    second.waiting = {"cp1": 103.0}
    phase.tasks = [first, second]
    made.phases = [phase]
    return made


def test_the_report_holds_names_times_and_counts() -> None:
    document = sample().document(113.0, {"cp1": {"ok": 2, "changed": 1}}, "ok")
    assert document == {
        "version": 1,
        "playbooks": ["provision", "site"],
        "check_mode": False,
        "started": "2026-11-20T08:00:00Z",
        "ended": "2026-11-20T08:00:13Z",
        "seconds": 13.0,
        "result": "ok",
        "changed": 1,
        "hosts": {"cp1": {"ok": 2, "changed": 1}},
        "phases": [
            {
                "name": "Set up etcd",
                "playbook": "site",
                "seconds": 12.5,
                "changed": 1,
                "tasks": [
                    {
                        "name": "etcd : Install",
                        "seconds": 3.0,
                        "changed": 1,
                        "hosts": {"ok": ["cp2"], "changed": ["cp1"]},
                    },
                    {
                        "name": "etcd : Wait",
                        "seconds": 9.5,
                        "changed": 0,
                        "hosts": {},
                        "items": [4.0, 5.0],
                        "retries": 3,
                    },
                ],
            }
        ],
    }


def test_reports_are_private(tmp_path: Path) -> None:
    directory = tmp_path / "work" / "reports"
    path = run.write(directory, sample().file_name(), {"a": 1})
    assert path.name == "20261120T080000Z-provision-site.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [entry.name for entry in directory.iterdir()] == [path.name]


def save(directory: Path, stamp: str, **changes: object) -> None:
    document = {**sample().document(113.0, {}, "ok"), **changes}
    run.write(directory, f"{stamp}-site.json", document)


def test_estimates_come_from_the_newest_successful_run(tmp_path: Path) -> None:
    save(tmp_path, "20260101T000000Z")
    save(tmp_path, "20260102T000000Z", result="failed")
    save(tmp_path, "20260103T000000Z", check_mode=True)
    save(tmp_path, "20260104T000000Z", version=0)
    (tmp_path / "20260105T000000Z-site.json").write_text("{broken")
    found = run.estimates(tmp_path, "site", check=False)
    assert found.phases == {"Set up etcd": 12.5}
    assert found.tasks["Set up etcd", "etcd : Wait"] == 9.5
    assert found.items["Set up etcd", "etcd : Wait"] == [4.0, 5.0]
    assert run.estimates(tmp_path, "reset", check=False) == run.Estimates()
    assert run.estimates(tmp_path / "missing", "site", check=False) == run.Estimates()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0 s"), (3.14, "3.1 s"), (9.96, "10 s"), (59.6, "60 s"), (99.6, "1 min 40 s"), (3725, "62 min 05 s")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


def test_lines_of_a_run() -> None:
    phase = sample().phases[0]
    before = run.Estimates(
        phases={"Set up etcd": 20.0},
        tasks={("Set up etcd", "etcd : Wait"): 30.0},
        items={("Set up etcd", "etcd : Wait"): [1.0, 2.0, 3.0]},
    )
    assert words.phase_title(3, 9, phase.name, 20.0, False) == "[3/9] Set up etcd (last time 20 s)"
    assert words.phase_title(1, 1, phase.name, None, True) == "[1/1] Set up etcd [check mode]"
    assert words.task_line(phase.tasks[0]) == "etcd : Install: changed on cp1; 1 ok; 3.0 s"
    assert words.task_line(phase.tasks[1]) == ""
    assert words.phase_end(phase) == "1 task, 1 changed on cp1; 12 s"
    assert words.heartbeat(phase.tasks[1], phase.name, 115.0, before) == (
        "etcd : Wait: 12 s (last time 30 s), 2 of 3 items done, tried 3 times, waiting for cp1"
    )


def test_the_summary_is_a_table() -> None:
    lines = words.summary(sample(), 113.0, {"site": run.Estimates(phases={"Set up etcd": 20.0})})
    assert lines == [
        "phase        time  last time  changed",
        "Set up etcd  12 s       20 s        1",
        "all          13 s                   1",
    ]


def test_hosts_are_named_under_the_worst_that_happened_to_them() -> None:
    totals = {
        "a": {"ok": 5, "changed": 0, "failures": 0, "unreachable": 0},
        "b": {"ok": 5, "changed": 2, "failures": 0, "unreachable": 0},
        "c": {"ok": 5, "changed": 2, "failures": 1, "unreachable": 0},
        "d": {"ok": 0, "changed": 0, "failures": 0, "unreachable": 1},
    }
    assert words.host_lines(totals) == [
        "ok           a",
        "changed      b",
        "failed       c",
        "unreachable  d",
    ]


def test_what_runs_where() -> None:
    groups = {"etcd": ["cp1"], "control_plane": ["cp1"], "worker": ["w2", "w1"], "all": ["x"], "mirror": []}
    assert words.placement(groups, "/k") == [
        "etcd           cp1",
        "control plane  cp1",
        "workers        w1, w2",
        "kubeconfig     /k",
    ]


def test_a_report_can_be_read_back(tmp_path: Path) -> None:
    path = run.write(tmp_path, "x.json", sample().document(113.0, {}, "ok"))
    assert json.loads(path.read_text())["phases"][0]["tasks"][0]["name"] == "etcd : Install"
