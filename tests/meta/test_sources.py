# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of every kind: templates that say who manages them, no path of one machine, nothing left to be done later."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import ROOT, document, files, keys, known_variables, matches, name, plain, text, under

TEXT = [path for path in files() if path.suffix not in (".gz", ".png", ".sum", ".crt")]
# Comments are not part of these formats.
NO_COMMENTS = (".json.j2",)
CONNECTION = ("ansible_",)


@pytest.mark.parametrize("path", under("roles/", suffix=".j2"), ids=name)
def test_a_template_says_that_it_is_managed(path: Path) -> None:
    if "templates" in path.parts and not path.name.endswith(NO_COMMENTS):
        start = [line for line in text(path).splitlines() if not line.startswith(("#!", "#jinja2:"))][:3]
        assert any("ansible_managed" in line for line in start)


def test_nothing_is_left_for_later() -> None:
    assert matches(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", TEXT) == []


def test_no_path_of_one_machine() -> None:
    assert (
        matches(r"(?<![\w.-])/(work/(main|shared)|home/[a-z]+/|tmp/plan)", [p for p in TEXT if p != Path(__file__)])
        == []
    )


def inventory_variables() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def collect(where: str, group: object) -> None:
        if isinstance(group, dict):
            found.extend((where, key) for key in group.get("vars") or {})
            for host in (group.get("hosts") or {}).values():
                found.extend((where, key) for key in host or {})
            for child in (group.get("children") or {}).values():
                collect(where, child)

    for path in under("inventories/", "molecule/", suffix=".yml"):
        if "group_vars" in path.parts or "host_vars" in path.parts:
            found += [(name(path), key) for key in keys(path)]
        elif path.name == "hosts.yml":
            for group in plain(document(path)).values():
                collect(name(path), group)
    return found


def test_inventories_set_only_what_is_known() -> None:
    known = known_variables()
    unknown = [f"{where}: {key}" for where, key in inventory_variables() if key not in known]
    assert [entry for entry in unknown if not entry.split(": ")[1].startswith(CONNECTION)] == []


def test_what_is_not_shipped_is_ignored_by_the_build() -> None:
    """Every top-level name is either part of the collection or named in galaxy.yml."""
    shipped = {"meta", "plugins", "roles", "playbooks", "README.md", "LICENSE", "CHANGELOG.md", "galaxy.yml"}
    ignored = set(plain(document(ROOT / "galaxy.yml"))["build_ignore"])
    assert {path.relative_to(ROOT).parts[0] for path in files()} - shipped - ignored == set()
