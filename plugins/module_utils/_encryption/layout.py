# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server's configuration for encryption at rest, read and written. Pure; documents are plain dicts.

Caravan's own configurations use secretbox, and keep what is stored plain readable. Others are refused, not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import EncryptionError

API_VERSION = "apiserver.config.k8s.io/v1"
KIND = "EncryptionConfiguration"
_NUMBER = re.compile(r"key(?:-\d{8}-)?(\d+)")


@dataclass(frozen=True)
class Key:
    """A key of secretbox. `secret` is base64, and never shown."""

    name: str
    secret: str = field(repr=False)

    @property
    def number(self) -> int | None:
        """The place in the sequence of this cluster's keys, as its name says; None for a name that does not say."""
        match = _NUMBER.fullmatch(self.name)
        return int(match.group(1)) if match else None


@dataclass(frozen=True)
class Layout:
    """What a configuration says: new objects are written under the first key, the others are for reading.

    `encrypted`: resources that are written encrypted; `plain`: those written plain, and readable both ways.
    """

    keys: tuple[Key, ...]
    encrypted: tuple[str, ...]
    plain: tuple[str, ...] = ()


def covers(pattern: str, resource: str) -> bool:
    """Say whether a pattern of a configuration ('*.*', '*.', '*.apps', 'secrets') takes in another one."""
    if pattern in ("*.*", resource):
        return True
    if pattern == "*.":
        return "." not in resource
    return pattern.startswith("*.") and resource.partition(".")[2] == pattern[2:]


def parse(document: Any) -> Layout:
    """Return what a configuration says. EncryptionError when it is not one that Caravan could have written."""
    if not isinstance(document, dict) or document.get("kind") != KIND or not document.get("resources"):
        raise EncryptionError(f"it is no {KIND}")
    keys: tuple[Key, ...] | None = None
    encrypted: list[str] = []
    plain: list[str] = []
    for entry in document["resources"]:
        names = [next(iter(provider), "") for provider in entry["providers"]]
        if sorted(names) not in (["secretbox"], ["identity", "secretbox"]):
            raise EncryptionError(
                f"its providers for {', '.join(entry['resources'])} are {', '.join(names)}; Caravan rotates keys of "
                "secretbox only, with identity for what is stored plain"
            )
        secretbox = next(provider["secretbox"] for provider in entry["providers"] if "secretbox" in provider)
        found = tuple(Key(str(key["name"]), str(key["secret"])) for key in secretbox["keys"])
        if keys is not None and found != keys:
            raise EncryptionError("its resources have different keys, wanted the same ones for all")
        keys = found
        (encrypted if names[0] == "secretbox" else plain).extend(str(name) for name in entry["resources"])
    if not keys or len({key.name for key in keys}) != len(keys):
        raise EncryptionError("it has no key, or two of one name")
    return Layout(keys, tuple(encrypted), tuple(plain))


def build(layout: Layout) -> dict[str, Any]:
    """Return the configuration. What is more specific comes first: an API server goes by the first entry that fits."""
    secretbox = {"secretbox": {"keys": [{"name": key.name, "secret": key.secret} for key in layout.keys]}}
    identity: dict[str, Any] = {"identity": {}}
    entries = []
    for rank in (0, 1, 2):
        for resources, providers in (
            (layout.encrypted, [secretbox, identity]),
            (layout.plain, [identity, secretbox]),
        ):
            # Names in one entry must not overlap.
            named = [name for name in resources if _rank(name) == rank]
            if named:
                entries.append({"resources": named, "providers": providers})
    return {"apiVersion": API_VERSION, "kind": KIND, "resources": entries}


def missing_from(resources: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """Return those resources that the configuration says nothing about."""
    known = layout.encrypted + layout.plain
    return tuple(name for name in resources if not any(covers(pattern, name) for pattern in known))


def _rank(pattern: str) -> int:
    return 2 if pattern == "*.*" else int(pattern.startswith("*."))
