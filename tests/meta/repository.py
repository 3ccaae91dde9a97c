# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules are checked against: the repository's files, read once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LINE = "__line__"
BLOCKS = ("block", "rescue", "always")
# Keys of a task that are no module. Everything else that is not `with_...` is one.
TASK_KEYWORDS = frozenset(
    [
        "action",
        "any_errors_fatal",
        "args",
        "async",
        "become",
        "become_exe",
        "become_flags",
        "become_method",
        "become_user",
        "changed_when",
        "check_mode",
        "collections",
        "connection",
        "debugger",
        "delay",
        "delegate_facts",
        "delegate_to",
        "diff",
        "environment",
        "failed_when",
        "ignore_errors",
        "ignore_unreachable",
        "listen",
        "local_action",
        "loop",
        "loop_control",
        "module_defaults",
        "name",
        "no_log",
        "notify",
        "poll",
        "port",
        "register",
        "remote_user",
        "retries",
        "run_once",
        "tags",
        "throttle",
        "timeout",
        "until",
        "vars",
        "when",
    ]
)


class Loader(yaml.SafeLoader):
    """YAML as Ansible writes it; every mapping knows its line."""


def _mapping(loader: Loader, node: yaml.MappingNode) -> dict[str, Any]:
    mapping: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    mapping[LINE] = node.start_mark.line + 1
    return mapping


def _tagged(loader: Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else None


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
Loader.add_multi_constructor("!", _tagged)


def plain(value: Any) -> Any:
    """The value without the line numbers."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items() if key != LINE}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


@cache
def files() -> tuple[Path, ...]:
    """All that git tracks, or would, as absolute paths."""
    answer = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(sorted(ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()))


def under(*folders: str, suffix: str = "") -> list[Path]:
    return [path for path in files() if str(path.relative_to(ROOT)).startswith(folders) and path.name.endswith(suffix)]


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@cache
def document(path: Path) -> Any:
    """The file's first YAML document, with line numbers in mappings."""
    return yaml.load(text(path), Loader)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Task:
    path: Path
    body: dict[str, Any] = field(hash=False)
    last_line: int
    no_log: bool

    def __str__(self) -> str:
        return f"{name(self.path)}:{self.line} {self.body.get('name', '')!r}"

    @property
    def line(self) -> int:
        return int(self.body[LINE])

    @property
    def module(self) -> str:
        for key in self.body:
            if key not in TASK_KEYWORDS and key not in (LINE, *BLOCKS) and not key.startswith("with_"):
                return key
        return ""

    @property
    def short_module(self) -> str:
        return self.module.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")

    @property
    def arguments(self) -> Any:
        return plain(self.body.get(self.module))

    @property
    def source(self) -> str:
        """Its own lines, and the comment lines right above."""
        lines = text(self.path).splitlines()
        start = self.line - 1
        while start > 0 and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        return "\n".join(lines[start : self.last_line])


def _tasks(path: Path, entries: list[dict[str, Any]], last_line: int, no_log: bool = False) -> Iterator[Task]:
    for index, entry in enumerate(entries):
        end = int(entries[index + 1][LINE]) - 1 if index + 1 < len(entries) else last_line
        quiet = bool(entry.get("no_log", no_log))
        yield Task(path, entry, end, quiet)
        for key in BLOCKS:
            if isinstance(entry.get(key), list):
                yield from _tasks(path, entry[key], end, quiet)


@cache
def tasks() -> tuple[Task, ...]:
    """Every task and handler of the roles, the playbooks and the scenarios, those inside of blocks included."""
    found: list[Task] = []
    for path in under("roles/", suffix=".yml"):
        if path.parent.name in ("tasks", "handlers"):
            found += _tasks(path, document(path) or [], len(text(path).splitlines()))
    for path in playbooks():
        for play in document(path) or []:
            for key in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                found += _tasks(path, play.get(key) or [], len(text(path).splitlines()))
    return tuple(found)


def playbooks() -> list[Path]:
    return [path for path in under("playbooks/", suffix=".yml") if path.parent == ROOT / "playbooks"]


def roles() -> list[Path]:
    return sorted({ROOT / "roles" / path.relative_to(ROOT).parts[1] for path in under("roles/")})


def modules() -> list[Path]:
    return [path for path in under("plugins/modules/", suffix=".py") if path.name != "__init__.py"]


def keys(path: Path) -> set[str]:
    """The variables a vars file or a defaults file sets."""
    return set(plain(document(path) or {}))


def specification(role: Path) -> dict[str, Any]:
    """Options of all entry points, by name."""
    path = role / "meta" / "argument_specs.yml"
    options: dict[str, Any] = {}
    if path.exists():
        for entry in plain(document(path))["argument_specs"].values():
            options.update(entry.get("options") or {})
    return options


def defaults(role: Path) -> dict[str, Any]:
    path = role / "defaults" / "main.yml"
    return plain(document(path) or {}) if path.exists() else {}


def known_variables() -> set[str]:
    """All that an inventory may set of this collection's."""
    return {option for role in roles() for option in specification(role)}


def matches(pattern: str, paths: list[Path]) -> list[str]:
    """`file:line text` of every line that matches."""
    compiled = re.compile(pattern)
    return [
        f"{name(path)}:{number} {line.strip()[:120]}"
        for path in paths
        for number, line in enumerate(text(path).splitlines(), start=1)
        if compiled.search(line)
    ]
