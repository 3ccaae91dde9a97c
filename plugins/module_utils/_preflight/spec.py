# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's variables against the roles' argument specifications: names, types, choices, nested options.

Stricter than Ansible's own validation, which converts what it is given (a list becomes a string, `1.30` becomes `1.3`)
and then throws the converted value away: the role would still see the unconverted one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

# A specification maps an option's name to its entry of argument_specs.yml.
Spec = dict[str, Any]

TRUE = {"yes", "true", "on", "1", "y", "t"}
TRUTHS = TRUE | {"no", "false", "off", "0", "n", "f"}
TYPES = {
    "str": "a string",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a dictionary",
}
SECRET_NAME = re.compile(r"(password|passphrase|secret|token|private_key|credential)", re.IGNORECASE)
CUTOFF = 0.82
# Ansible's own variables, which every host has.
MAGIC = re.compile(r"(ansible|inventory|_)_\w+|groups|group_names|hostvars|omit|playbook_dir|environment|role_names?")


def flatten(specs: Iterable[dict[str, Any]]) -> Spec:
    """All options of all entry points of the given contents of argument_specs.yml files."""
    options: Spec = {}
    for content in specs:
        for entry in (content.get("argument_specs") or {}).values():
            options.update(entry.get("options") or {})
    return options


def unknown(
    variables: Iterable[str], known: Iterable[str], roles: Iterable[str], ignored: Iterable[str] = ()
) -> dict[str, str]:
    """Variables that no role knows, though they look as if one should, each with the nearest known name (or nothing).

    Looks as if: begins with a role's name, or is close to a known name. Anything else belongs to the user.
    """
    names = sorted(set(known))
    accepted = {*names, *ignored}
    prefixes = tuple(f"{role}_" for role in roles)
    found = {}
    for variable in sorted(set(variables)):
        if variable in accepted or MAGIC.fullmatch(variable):
            continue
        near = nearest(variable, names)
        if near or variable.startswith(prefixes):
            found[variable] = near
    return found


def nearest(word: str, words: list[str]) -> str:
    """The most similar of the words, or nothing where none is similar."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=CUTOFF)
    return close[0] if close else ""


def mistakes(name: str, entry: dict[str, Any], value: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a value: pairs (seen, wanted). Values of secret options are not shown."""
    if value is None:
        if entry.get("required"):
            yield f"{name} is empty", TYPES.get(entry.get("type", "str"), "a value")
        return
    kind = entry.get("type", "str")
    hidden = bool(entry.get("no_log")) or bool(SECRET_NAME.search(name))
    wanted = _type_mistake(kind, value)
    if wanted:
        yield f"{name} is {shown(value, hidden)}", wanted
        return
    choices = entry.get("choices")
    if choices:
        for item in value if kind == "list" else [value]:
            if item not in choices and not (kind == "int" and str(item) in map(str, choices)):
                near = nearest(str(item), [str(choice) for choice in choices])
                hint = f" ({near}?)" if near else ""
                yield f"{name} is {shown(item, hidden)}", f"one of {', '.join(map(str, choices))}{hint}"
    options = entry.get("options")
    if kind == "dict" and options is not None:
        yield from _members(name, options, value)
    elif kind == "list":
        member = {"type": entry.get("elements", "raw"), "options": options, "no_log": entry.get("no_log", False)}
        for index, item in enumerate(value):
            yield from mistakes(f"{name}[{index}]", member, item)


def _members(name: str, options: Spec, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    aliases = {alias: option for option, entry in options.items() for alias in entry.get("aliases") or ()}
    for key, item in value.items():
        option = aliases.get(key, key)
        if option not in options:
            near = nearest(str(key), sorted(map(str, options)))
            hint = f"{near}" if near else f"one of {', '.join(sorted(map(str, options)))}"
            yield f"{name} has the unknown key {key}", hint
        else:
            yield from mistakes(f"{name}.{key}", options[option], item)
    for option, entry in options.items():
        if (
            entry.get("required")
            and option not in value
            and not any(alias in value for alias in entry.get("aliases") or ())
        ):
            yield f"{name} has no {option}", f"{TYPES.get(entry.get('type', 'str'), 'a value')} there"


def _type_mistake(kind: str, value: Any) -> str:
    """What is wanted in place of the value; nothing where its type is right."""
    if kind in ("str", "path"):
        if isinstance(value, str):
            return ""
        scalar = isinstance(value, (bool, int, float))
        return f'{TYPES[kind]}, in quotes: "{value}"' if scalar else TYPES[kind]
    if kind == "int":
        right = isinstance(value, int) and not isinstance(value, bool)
        return "" if right or (isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip())) else TYPES[kind]
    if kind == "float":
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (
            "" if right or (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value.strip())) else TYPES[kind]
        )
    if kind == "bool":
        right = isinstance(value, bool) or (isinstance(value, str) and value.lower() in TRUTHS)
        return "" if right or (isinstance(value, int) and value in (0, 1)) else TYPES[kind]
    if kind == "list":
        return "" if isinstance(value, (list, tuple)) else TYPES[kind]
    if kind == "dict":
        return "" if isinstance(value, dict) else TYPES[kind]
    return ""


def converted(kind: str, value: Any) -> Any:
    """A value of a right type as that type: what comes from the command line is a string. Else the value as it is."""
    if not isinstance(value, str) or _type_mistake(kind, value):
        return value
    if kind == "int":
        return int(value)
    if kind == "float":
        return float(value)
    return value.lower() in TRUE if kind == "bool" else value


def shown(value: Any, hidden: bool = False) -> str:
    """A value in a message: quoted where it is a string, cut where it is long, never a secret."""
    if hidden:
        return "(hidden)"
    if isinstance(value, dict):  # its values may be anything, and secrets among them
        keys = ", ".join(map(str, value))
        return f"a dictionary with the keys {keys}" if keys else "an empty dictionary"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value):
        return f"a list of {len(value)}"
    word = f"'{value}'" if isinstance(value, str) else str(value)
    word = word if len(word) <= 80 else f"{word[:77]}..."
    kinds = {bool: "bool", int: "number", float: "number", list: "list", tuple: "list"}
    kind = next((label for base, label in kinds.items() if isinstance(value, base)), "")
    return f"{word} (a {kind})" if kind else word
