# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's variables: specified, with the defaults the specification says, under the role's own prefix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from repository import defaults, document, keys, known_variables, name, plain, roles, specification, tasks, text, under

SHARED = "cluster"
# Set by Ansible or by a play for a connection, not a variable of a role.
FOREIGN = ("ansible_",)


@pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)
def test_specification_and_defaults_have_the_same_options(role: Path) -> None:
    options, values = specification(role), defaults(role)
    assert (role / "meta" / "argument_specs.yml").exists()
    assert set(values) - set(options) == set(), "in defaults, not specified"
    missing = {key for key, option in options.items() if key not in values and not option.get("required")}
    # What has no default and need not be given is read with `is defined` or `default()`.
    assert {key for key in missing if "default" in options[key]} == set(), "specified with a default that nobody sets"
    assert {key for key in options if options[key].get("required") and key in values} == set(), (
        "required, with a default"
    )


@pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)
def test_the_specification_says_the_defaults_as_they_are(role: Path) -> None:
    values = defaults(role)
    for key, option in specification(role).items():
        if key not in values:
            continue
        templated = "{{" in str(values[key])
        if "default" in option:
            assert option["default"] == values[key], key
        else:
            assert templated or values[key] in ("", [], {}, None), (
                f"{key}: the specification lacks default: {values[key]}"
            )


@pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)
def test_every_option_is_described_and_typed(role: Path) -> None:
    for key, option in specification(role).items():
        assert option.get("description"), key
        assert option.get("type"), key
        if option["type"] == "list":
            assert option.get("elements"), key


@pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)
def test_variables_carry_the_roles_name(role: Path) -> None:
    prefix, internal = f"{role.name}_", f"__{role.name}_"
    assert [key for key in {*defaults(role), *specification(role)} if not key.startswith(prefix)] == []
    for path in under(f"{name(role)}/vars/", suffix=".yml"):
        assert [key for key in keys(path) if not key.startswith((prefix, internal))] == [], name(path)
    for task in tasks():
        if role not in task.path.parents:
            continue
        body = plain(task.body)
        own = [body["register"]] if "register" in body else []
        own += [body["loop_control"]["loop_var"]] if "loop_var" in body.get("loop_control", {}) else []
        own += [] if task.short_module in ("include_role", "import_role") else list(body.get("vars", {}))
        assert [key for key in own if not key.startswith((internal, *FOREIGN))] == [], str(task)


def dependencies(role: Path) -> set[str]:
    """Names of the roles it depends on, directly or by another one."""
    meta = role / "meta" / "main.yml"
    entries = plain(document(meta)).get("dependencies") or [] if meta.exists() else []
    direct = {entry["role"].rpartition(".")[2] for entry in entries}
    return direct.union(*(dependencies(role.parent / dependency) for dependency in direct))


@pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)
def test_a_role_that_uses_shared_settings_depends_on_them(role: Path) -> None:
    """Where an inventory sets none, a `cluster_` variable exists only in roles that depend on the role `cluster`."""
    shared = {key for key in known_variables() if key.startswith(f"{SHARED}_")}
    word = re.compile(rf"(?<![.\w])({'|'.join(sorted(shared))})\b")
    folders = tuple(f"{name(role)}/{part}/" for part in ("defaults", "tasks", "templates", "vars", "handlers"))
    used = any(word.search(text(path)) for path in under(*folders))
    if used and role.name != SHARED:
        assert SHARED in dependencies(role)


FAMILIES = ("Debian", "RedHat")


@pytest.mark.parametrize(
    "role",
    [role for role in roles() if any((role / "vars" / f"{family}.yml").exists() for family in FAMILIES)],
    ids=name,
)
def test_what_differs_between_distributions_is_said_for_each_family(role: Path) -> None:
    said = {family: set(document(role / "vars" / f"{family}.yml")) for family in FAMILIES}
    assert said["Debian"] == said["RedHat"]


@pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)
def test_a_role_is_described(role: Path) -> None:
    information = plain(document(role / "meta" / "main.yml"))["galaxy_info"]
    assert information["description"]
    assert information["license"] == "GPL-3.0-or-later"
