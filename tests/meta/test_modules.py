# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module and plugin is documented, says what it can do, is tested and is in the action group."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import repository
import yaml
from repository import ROOT, document, modules, name, text, under

ATTRIBUTES = {"check_mode", "diff_mode", "idempotent"}
FRAGMENT = "caravan.cluster.attributes"
MAX_PYTHON_LINES = 450


def literal(path: Path, variable: str) -> Any:
    """A module-level string of that name, as YAML."""
    for node in ast.parse(text(path)).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == variable for t in node.targets):
            return yaml.safe_load(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_a_module_is_documented(path: Path) -> None:
    documentation = literal(path, "DOCUMENTATION")
    assert documentation, "no DOCUMENTATION"
    assert documentation["module"] == path.stem
    assert literal(path, "EXAMPLES"), "no EXAMPLES"
    returned = literal(path, "RETURN")
    assert returned, "no RETURN"
    for key, value in returned.items():
        assert "sample" in value or "contains" in value, f"RETURN {key} has no sample"
    fragments = documentation.get("extends_documentation_fragment", [])
    inherited = ATTRIBUTES if FRAGMENT in fragments else set()
    assert inherited | set(documentation.get("attributes", {})) >= ATTRIBUTES


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_a_module_keeps_its_promise_of_check_mode(path: Path) -> None:
    action = ROOT / "plugins" / "action" / path.name
    assert "supports_check_mode=True" in text(path) or (action.exists() and "check_mode" in text(action))


def cores(source: str) -> set[str]:
    """The packages of module_utils that are imported."""
    return set(re.findall(r"module_utils\.(_\w+)", source))


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_a_module_is_tested(path: Path) -> None:
    """A test names it; or its core has unit tests, and a role or a playbook that the scenarios run uses it."""
    sources = [file for file in under("tests/unit/", "tests/integration/", "molecule/") if file.suffix == ".py"]
    word = re.compile(rf"\b{path.stem}\b")
    if any(word.search(text(file)) or word.search(file.stem) for file in sources):
        return
    action = ROOT / "plugins" / "action" / path.name
    imported = cores(text(path)) | (cores(text(action)) if action.exists() else set())
    tested = {core for file in sources for core in cores(text(file))}
    assert imported & tested, f"no test of {sorted(imported)}"
    users = under("roles/", "playbooks/", suffix=".yml")
    assert any(f"caravan.cluster.{path.stem}:" in text(file) for file in users), "no role and no playbook uses it"


def test_the_action_group_has_every_module() -> None:
    group = repository.plain(document(ROOT / "meta" / "runtime.yml"))["action_groups"]["cluster"]
    assert group == sorted(path.stem for path in modules())


def test_an_action_has_a_module_with_its_documentation() -> None:
    actions = {path.stem for path in under("plugins/action/", suffix=".py")} - {"__init__"}
    assert actions <= {path.stem for path in modules()}


@pytest.mark.parametrize("path", under("plugins/filter/", "plugins/callback/"), ids=name)
def test_a_plugin_is_documented(path: Path) -> None:
    if path.suffix == ".py" and path.name != "__init__.py":
        sidecars = [path.with_suffix(".yml"), *path.parent.glob("*.yml")]
        assert literal(path, "DOCUMENTATION") or any(sidecar.exists() for sidecar in sidecars)


@pytest.mark.parametrize("path", under("plugins/", "tests/", "molecule/", suffix=".py"), ids=name)
def test_a_python_file(path: Path) -> None:
    lines = text(path).splitlines()
    if not lines:
        return
    assert len(lines) <= MAX_PYTHON_LINES
    header = lines[1:4] if lines[0].startswith("#!") else lines[:3]
    assert header == [
        "# Copyright: Caravan contributors",
        "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
        "# SPDX-License-Identifier: GPL-3.0-or-later",
    ]
    statements = [node for node in ast.parse(text(path)).body if not isinstance(node, ast.Expr)]
    assert not statements or "from __future__ import annotations" in lines


@pytest.mark.parametrize("path", under("plugins/module_utils/", suffix=".py"), ids=name)
def test_a_module_util_is_private_and_needs_nothing_to_be_imported(path: Path) -> None:
    """A third-party package may be missing on a target: its import has to be caught, or be inside of a function."""
    assert path.relative_to(ROOT / "plugins" / "module_utils").parts[0].startswith("_")
    for node in ast.parse(text(path)).body:
        imported = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported = [node.module or ""]
        for package in imported:
            assert package.split(".")[0] not in {"kubernetes", "yaml", "jsonpatch", "cryptography", "requests"}, package


def test_only_the_client_imports_kubernetes() -> None:
    found = [
        name(path)
        for path in under("plugins/", suffix=".py")
        if re.search(r"^\s*(import|from) kubernetes\b", text(path), re.M)
    ]
    assert found == ["plugins/module_utils/_k8s/client.py"]
