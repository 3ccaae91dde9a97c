# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a private file can be searched for in public places, and the search."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\n(?P<body>[A-Za-z0-9+/=\n]+)-----END")
_FIELD = re.compile(
    r"(?<![\w-])(?:client-key-data|token|secret|password|auth_pass)\b\"?\s*[:= ]\s*\"?(?P<value>[^\s\"]{8,})"
)


# Secrets by their shape, among them such that are gone by the time one looks for them.
_SHAPES = {
    "a bootstrap token": re.compile(r"(?<![\w.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.-])"),
    "a service account's token": re.compile(r"eyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{20,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\s)+[A-Za-z0-9+/]{16}"),
}


@dataclass(frozen=True)
class Needle:
    """A piece of a secret. `source` names the file it is from; the value stays out of every message."""

    source: str
    value: str

    def __repr__(self) -> str:
        return f"Needle({self.source})"


def needles(source: str, content: str) -> set[Needle]:
    """Return the pieces of a file's content that nobody else may see.

    From a PEM private key: a line of its body, as it is and as it looks inside base64 of the whole file. From YAML and
    configuration: the values of fields that hold secrets.
    """
    found: set[Needle] = set()
    for match in _PEM.finditer(content):
        lines = match["body"].split()
        # The first line holds the algorithm's header, the same for all keys; a one-line key is the exception.
        body = lines[1] if len(lines) > 1 else lines[0][24:]
        found.add(Needle(source, body))
        whole = base64.b64encode(content.encode()).decode()
        start = len(base64.b64encode(content[: match.start("body") + 66].encode()))
        if len(whole) > start + 64:
            found.add(Needle(source, whole[start : start + 64]))
    found |= {Needle(source, match["value"]) for match in _FIELD.finditer(content)}
    return {needle for needle in found if len(needle.value) >= 8}


def leaks(places: Mapping[str, str], wanted: Iterable[Needle]) -> list[str]:
    """Return `place: from source` for every needle seen in a place."""
    return sorted(
        {
            f"{place}: holds a secret of {needle.source}"
            for needle in wanted
            for place, content in places.items()
            if needle.value in content
        }
    )


def shapes(places: Mapping[str, str]) -> list[str]:
    """Return `place: what` for everything that looks like a secret, whosever it may be."""
    return sorted(
        f"{place}: holds {what}"
        for place, text in places.items()
        for what, shape in _SHAPES.items()
        if shape.search(text)
    )


# Runs on a node. Searches small files of world-known directories, not following mounts (container root file systems
# lie below /run), and prints the paths with the index of the needle.
SEARCH_SCRIPT = """
import os
found = []
needles = [value.encode() for value in ARGUMENT["needles"]]
for top in ARGUMENT["directories"]:
    if not os.path.isdir(top):
        continue
    device = os.stat(top).st_dev
    for directory, names, files in os.walk(top):
        names[:] = [n for n in names if os.lstat(os.path.join(directory, n)).st_dev == device]
        for name in files:
            path = os.path.join(directory, name)
            try:
                if not os.path.isfile(path) or os.path.islink(path) or os.path.getsize(path) > 64 << 20:
                    continue
                with open(path, "rb") as file:
                    content = file.read()
            except OSError:
                continue
            found += [[path, i] for i, needle in enumerate(needles) if needle in content]
print(json.dumps(found))
"""

# Runs on a node. Prints path -> content of the private files below the directories.
COLLECT_SCRIPT = """
import os
found = {}
for top in ARGUMENT:
    for directory, names, files in os.walk(top):
        for name in files:
            path = os.path.join(directory, name)
            if os.path.islink(path) or os.path.getsize(path) > 1 << 20:
                continue
            with open(path, "rb") as file:
                content = file.read().decode("utf-8", "replace")
            if "PRIVATE KEY" in content or name.endswith((".conf", ".yml", ".yaml", "kubeconfig")):
                found[path] = content
print(json.dumps(found))
"""
