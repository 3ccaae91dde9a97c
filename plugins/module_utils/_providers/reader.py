# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read typed values out of a mapping, and collect every mistake instead of stopping at the first."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import Problem

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")


def nearest(word: str, known: Iterable[str]) -> str:
    """`word`'s nearest neighbour among the known ones, or all of them: what an error message should offer."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return close[0] if close else "one of " + ", ".join(names) if names else "nothing: none is offered"


class Reader:
    """One mapping of the description.

    `subject` and `variable` are for messages: `pool worker`, `infrastructure_pools[0]`. Variables of the top level are
    joined to their prefix by an underscore, as they are called in the inventory.
    """

    def __init__(self, value: Any, subject: str, variable: str, problems: list[Problem], joint: str = ".") -> None:
        self._joint = joint
        self.subject = subject
        self.variable = variable
        self.problems = problems
        self._read: set[str] = set()
        self._value: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            self._value = value
        elif value is not None:
            self.problem(f"is {value!r}", "a mapping")

    def problem(self, seen: str, wanted: str, name: str = "") -> None:
        change = self.path(name) if name else self.variable
        self.problems.append(Problem(self.subject, f"{name} {seen}".strip(), wanted, change))

    def path(self, name: str) -> str:
        return f"{self.variable}{self._joint}{name}"

    def _get(self, name: str, default: Any) -> Any:
        self._read.add(name)
        value = self._value.get(name)
        return default if value is None else value

    def text(
        self, name: str, default: str | None = None, pattern: re.Pattern[str] | None = None, what: str = ""
    ) -> str:
        """A text; required where there is no default."""
        value = self._get(name, default)
        if value is None:
            self.problem("is not set", what or "a text", name)
            return ""
        if not isinstance(value, str) or (pattern and value != default and not pattern.fullmatch(value)):
            self.problem(f"is {value!r}", what or "a text", name)
            return default or ""
        return value

    def label(self, name: str, default: str | None = None) -> str:
        return self.text(name, default, LABEL, "a DNS label: small letters, digits and dashes")

    def domain(self, name: str, default: str | None = None) -> str:
        return self.text(name, default, DOMAIN, "a DNS name in lower case, such as k8s.example.org")

    def number(self, name: str, default: int | None = None, low: int = 0, high: int = 1_000_000) -> int:
        value = self._get(name, default)
        what = f"a whole number from {low} to {high}"
        if value is None:
            self.problem("is not set", what, name)
            return low
        if isinstance(value, str) and value.isdigit():
            value = int(value)  # what a template renders is text
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem(f"is {value!r}", what, name)
            return low
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._get(name, default)
        if not isinstance(value, bool):
            self.problem(f"is {value!r}", "true or false", name)
            return default
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        value = self._get(name, default)
        if value not in choices:
            self.problem("is not set" if value is None else f"is {value!r}", nearest(str(value), choices), name)
            return default or choices[0]
        return str(value)

    def words(
        self, name: str, choices: Iterable[str] | None = None, pattern: re.Pattern[str] | None = None, what: str = ""
    ) -> tuple[str, ...]:
        """A list of texts without doubles, in the order given."""
        value = self._get(name, [])
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            self.problem(f"is {value!r}", "a list of texts", name)
            return ()
        for item in value:
            if choices is not None and item not in choices:
                self.problem(f"has {item!r}", nearest(item, choices), name)
            elif pattern and not pattern.fullmatch(item):
                self.problem(f"has {item!r}", what, name)
        return tuple(dict.fromkeys(value))

    def cidr(self, name: str, default: str | None = None) -> str:
        value = self.text(name, default, what="a network such as 10.0.0.0/16")
        if value and not self._is_network(value):
            self.problem(f"is {value!r}", "a network such as 10.0.0.0/16, with no bit set behind its prefix", name)
            return ""
        return value

    def cidrs(self, name: str) -> tuple[str, ...]:
        values = self.words(name)
        for value in values:
            if not self._is_network(value):
                self.problem(f"has {value!r}", "a network such as 10.0.0.0/16, with no bit set behind its prefix", name)
        return tuple(value for value in values if self._is_network(value))

    @staticmethod
    def _is_network(value: str) -> bool:
        try:
            ipaddress.ip_network(value)
        except ValueError:
            return False
        return "/" in value

    def mapping(self, name: str) -> dict[str, Any]:
        """A mapping that is not looked into here: labels, or a provider's own settings."""
        value = self._get(name, {})
        if not isinstance(value, Mapping):
            self.problem(f"is {value!r}", "a mapping", name)
            return {}
        return dict(value)

    def section(self, name: str, subject: str = "") -> Reader:
        return Reader(self._get(name, {}), subject or name, self.path(name), self.problems)

    def sections(self, name: str, noun: str, read: Callable[[Reader], Any]) -> tuple[Any, ...]:
        """A list of mappings, each with a `name` that no other one has."""
        value = self._get(name, [])
        variable = self.path(name)
        if not isinstance(value, (list, tuple)):
            self.problem(f"is {value!r}", "a list", name)
            return ()
        found, names = [], set()
        for position, item in enumerate(value):
            own = item.get("name") if isinstance(item, Mapping) else None
            reader = Reader(item, f"{noun} {own or position + 1}", f"{variable}[{position}]", self.problems)
            found.append(read(reader))
            reader.end()
            if own in names:
                reader.problem(f"is {own!r}, which another {noun} has too", "a name of its own", "name")
            names.add(own)
        return tuple(found)

    def end(self) -> None:
        """Report what was given and never read."""
        for name in sorted(set(self._value) - self._read):
            self.problem("is no setting", nearest(str(name), self._read), str(name))
