# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way a user goes: a provider's inventory as it is in the repository, the playbook, and the inventory plugin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from traffic import Traffic

ROOT = Path(__file__).resolve().parents[3]


def inventory_of(provider: str, directory: Path, own: dict[str, Any]) -> Path:
    """A copy of the provider's inventory, with what a user has to say in `own`."""
    place = directory / provider
    shutil.copytree(ROOT / "inventories" / provider, place)
    (place / "group_vars" / "all" / "z_test.yml").write_text(yaml.safe_dump(own))
    return place


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [program, *map(str, arguments)], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )


def playbook(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("ansible-playbook", "-i", inventory, "playbooks/infrastructure.yml", *arguments)


def planned(inventory: Path, plan: Path, traffic: Traffic) -> str:
    """Have a plan saved that nothing is done of; return what was said."""
    traffic.clear()
    done = playbook(inventory, "--check", "-e", f"infrastructure_save_plan={plan}")
    assert done.returncode == 0, done.stdout
    assert "create machine/worker-2" in done.stdout and traffic.mutating == []
    assert plan.stat().st_mode & 0o777 == 0o600
    return done.stdout


def hosts(inventory: Path) -> dict[str, Any]:
    done = run("ansible-inventory", "-i", inventory, "--list")
    assert done.returncode == 0 and "[WARNING]" not in done.stderr, done.stderr
    # Ansible marks texts that are no templates.
    found: dict[str, Any] = json.loads(done.stdout, object_hook=lambda one: one.get("__ansible_unsafe", one))
    return found
