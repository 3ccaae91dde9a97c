# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule only warns of a scenario without tests. Here it is an error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from repository import BLOCKS, tasks

MOLECULE = Path(__file__).resolve().parents[2] / "molecule"
SCENARIOS = sorted(path.parent for path in MOLECULE.glob("*/molecule.yml"))
# Tasks that nothing is said of when they are run, as blocks.
SILENT = {f"ansible.builtin.{way}_{what}" for way in ("import", "include") for what in ("tasks", "role")}
TEST = re.compile(r"^ *def test_", re.MULTILINE)


def verified(scenario: Path) -> list[str]:
    """The folders of tests in a scenario's sequence, in order."""
    steps = yaml.safe_load((scenario / "molecule.yml").read_text())["scenario"]["test_sequence"]
    words = [step.split() for step in steps]
    return [folder for verb, *folders in words if verb == "verify" for folder in folders or ["tests"]]


def test_there_are_the_scenarios_of_the_design() -> None:
    assert {"default", "ha"} <= {scenario.name for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_every_step_of_verification_has_tests(scenario: Path) -> None:
    folders = verified(scenario)
    assert folders, "nothing is verified"
    for folder in folders:
        files = sorted((scenario / folder).glob("test_*.py"))
        assert files, f"{folder} holds no tests"
        assert [file.name for file in files if not TEST.search(file.read_text())] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_no_test_is_left_out(scenario: Path) -> None:
    folders = {path.parent.name for path in scenario.glob("*/test_*.py")}
    assert folders == set(verified(scenario))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_idempotence_is_part_of_the_sequence(scenario: Path) -> None:
    steps = yaml.safe_load((scenario / "molecule.yml").read_text())["scenario"]["test_sequence"]
    assert steps.index("converge") < steps.index("idempotence") < steps.index("verify")


def steps_to_end_at(path: Path) -> Iterator[str]:
    """What `at_task()` is called with in a file, and the `STEPS` that it goes through."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STEPS":
            yield from ast.literal_eval(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "at_task":
            yield from (str(one.value) for one in node.args if isinstance(one, ast.Constant))


def test_runs_are_cut_off_at_tasks_that_there_are() -> None:
    """A task of another name never comes, and the run that was to be interrupted ends well."""
    names = [str(task.body.get("name", "")) for task in tasks() if not set(task.body) & SILENT.union(BLOCKS)]
    wanted = {step for path in MOLECULE.glob("*/tests/*.py") for step in steps_to_end_at(path)}
    assert len(wanted) > 3
    assert [step for step in sorted(wanted) if not any(step.rstrip(": ") in name for name in names)] == []
