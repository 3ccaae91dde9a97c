# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How tasks are written: no shell, no hidden failure, no first host, no secret in the output, short files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from repository import LINE, ROOT, Task, document, matches, name, plain, playbooks, tasks, text, under

MAX_MAIN_LINES = 40
MAX_TASK_LINES = 90
# Where a fact is what the task is about. Empty: nowhere.
FACTS_ALLOWED: frozenset[str] = frozenset()
# Modules whose arguments or answer would be shown. Others of this collection hide secrets by their own specification.
SHOWN = frozenset(
    [
        "command",
        "copy",
        "debug",
        "fail",
        "lineinfile",
        "blockinfile",
        "set_fact",
        "slurp",
        "stat",
        "template",
        "uri",
        "add_host",
        "group_by",
    ]
)
SECRET = re.compile(
    r"(?i)\b\w*(secret|password|passphrase|private_?key|bearer|certificate_key|bootstrap_token|join_token)\w*\b"
)
SECRET_FILE = re.compile(r"(\.key|/encryption\.yml|/kubeconfig|/admin\.conf|/kubelet\.conf)$")
FIRST_HOST = r"(groups\[[^\]]+\]|groups\.\w+|ansible_play_(hosts|batch)(_all)?)\s*(\[0\]|\|\s*first)"


def ids(task: Task) -> str:
    return f"{name(task.path)}:{task.line}"


ALL = pytest.mark.parametrize("task", tasks(), ids=ids)


@ALL
def test_a_task_has_a_name_and_hides_no_failure(task: Task) -> None:
    body = plain(task.body)
    assert body.get("name") or task.short_module in ("import_playbook",), str(task)
    assert not body.get("ignore_errors") and not body.get("ignore_unreachable")
    assert task.short_module not in ("shell", "pause", "raw", "script")
    assert task.short_module != "set_fact" or ids(task) in FACTS_ALLOWED, "a lazy variable in vars/ does it"
    assert "local_action" not in body and not any(key.startswith("with_") for key in body)


@ALL
def test_a_command_says_why_and_what_it_changes(task: Task) -> None:
    if task.short_module == "command":
        assert "changed_when" in task.body, "no changed_when"
        assert "#" in task.source, "no comment why it is no module"
        assert "argv" in (task.arguments or {}), "a command's words are a list"


@ALL
def test_an_include_has_no_loop(task: Task) -> None:
    if task.short_module in ("include_tasks", "include_role"):
        assert "loop" not in task.body


@ALL
def test_a_condition_has_no_braces(task: Task) -> None:
    for key in ("when", "changed_when", "failed_when", "until"):
        assert "{{" not in json.dumps(plain(task.body).get(key, "")), key


@ALL
def test_a_restart_is_a_handlers(task: Task) -> None:
    if task.path.parent.name == "tasks" and task.short_module in ("systemd_service", "systemd", "service"):
        assert (task.arguments or {}).get("state") not in ("restarted", "reloaded")


def secret_files(arguments: Any) -> list[dict[str, Any]]:
    files = arguments.get("files", []) if isinstance(arguments, dict) else []
    return [entry for entry in files if isinstance(entry, dict) and SECRET_FILE.search(str(entry.get("dest", "")))]


@ALL
def test_a_secret_is_not_shown(task: Task) -> None:
    if task.no_log:
        return
    assert task.short_module not in SHOWN or not SECRET.search(json.dumps(task.arguments)), (
        "mentions a secret, no no_log"
    )
    if task.module == "caravan.cluster.files":
        assert [entry for entry in secret_files(task.arguments) if not entry.get("secret")] == []


@pytest.mark.parametrize("path", [p for p in under("roles/", suffix=".yml") if p.parent.name == "tasks"], ids=name)
def test_a_task_file_is_short(path: Path) -> None:
    lines = len(text(path).splitlines())
    assert lines <= (MAX_MAIN_LINES if path.name == "main.yml" else MAX_TASK_LINES)


def test_there_is_no_first_host() -> None:
    assert matches(FIRST_HOST, under("roles/", "playbooks/", "plugins/", "molecule/", "inventories/")) == []


def test_facts_are_read_from_ansible_facts() -> None:
    names = r"os_family|distribution\w*|architecture|default_ipv4|kernel|hostname|fqdn|memtotal_mb|processor\w*"
    injected = rf"(?<![\w'\".])ansible_({names})\b"
    assert matches(injected, under("roles/", "playbooks/", "inventories/", "molecule/")) == []


@pytest.mark.parametrize("path", playbooks(), ids=name)
def test_a_playbook(path: Path) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*\.yml", path.name), "callable by its full name only with underscores"
    for play in document(path):
        if "ansible.builtin.import_playbook" in play:
            continue
        where = f"{name(path)}:{play[LINE]}"
        assert play.get("name"), where
        assert play.get("hosts"), where
        assert play.get("gather_facts") is False, f"{where}: preflight gathers what is needed"
        for role in play.get("roles") or []:
            role_name = role if isinstance(role, str) else role.get("role", "")
            assert role_name.startswith("caravan.cluster."), f"{where}: {role_name}"
            assert (ROOT / "roles" / role_name.rpartition(".")[2]).is_dir(), f"{where}: {role_name}"
