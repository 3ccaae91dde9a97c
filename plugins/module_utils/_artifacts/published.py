# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures upstream publishes beside its files and images, and what they mean for the catalogue's own. Pure.

A recorded figure is never replaced: upstream publishing another one for the same version is a reason to stop and look.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .catalogue import expand
from .errors import ArtifactError

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Figure:
    """A figure of the catalogue: where it stands, what is recorded, and where upstream publishes it.

    `path` leads to it below `versions`: (version, "sha256", name, architecture) or (version, "digests", name).
    `address` is the URL of a checksum file, or an image's reference; `file` is the name to look for in the former.
    """

    component: str
    path: tuple[str, ...]
    recorded: str
    address: str
    file: str = ""

    @property
    def title(self) -> str:
        version, _kind, name, *architecture = self.path
        return " ".join([name, version, *architecture])


def figures(entry: Mapping[str, Any], architectures: Sequence[str]) -> Iterator[Figure]:
    """All figures of a catalogue's entry that upstream publishes."""
    component = str(entry["component"])
    for number, listed in entry["versions"].items():
        version = str(number)
        for name, definition in (entry.get("files") or {}).items():
            recorded = (listed.get("sha256") or {}).get(name) or {}
            for architecture in architectures if "checksum" in definition else ():
                url = expand(definition["url"], version, architecture)
                address = expand(definition["checksum"].replace("{url}", url), version, architecture)
                path = (version, "sha256", name, architecture)
                yield Figure(component, path, str(recorded.get(architecture) or ""), address, url.rsplit("/", 1)[-1])
        for name, definition in (entry.get("images") or {}).items():
            recorded_digest = (listed.get("digests") or {}).get(name) or ""
            yield Figure(
                component, (version, "digests", name), recorded_digest, expand(definition["reference"], version)
            )


def find_sha256(text: str, file: str) -> str:
    """The sha256 of `file` in what upstream publishes: a bare figure, or lines of `figure  name`."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for words in lines:
        if _SHA256.fullmatch(words[0].lower()) and (
            len(words) == 1 == len(lines) or words[-1].lstrip("*").rsplit("/", 1)[-1] == file
        ):
            return words[0].lower()
    raise ArtifactError(f"there is no sha256 of {file} in it")


def digest_of(manifest: bytes) -> str:
    """The digest of an image: that of its manifest, byte for byte as the registry has it."""
    return "sha256:" + hashlib.sha256(manifest).hexdigest()


@dataclass(frozen=True)
class Finding:
    """What came of one figure: `recorded` (equal), `new`, `differs` or `unknown` (upstream did not say)."""

    figure: Figure
    verdict: str
    published: str = ""
    detail: str = ""


def compare(figure: Figure, fetch_text: Callable[[str], str], fetch_manifest: Callable[[str], bytes]) -> Finding:
    """Ask upstream for one figure and compare it with what is recorded."""
    try:
        if figure.file:
            published = find_sha256(fetch_text(figure.address), figure.file)
        else:
            published = digest_of(fetch_manifest(figure.address))
    except ArtifactError as error:
        return Finding(figure, "unknown", detail=f"{figure.address}: {error}")
    if not figure.recorded:
        return Finding(figure, "new", published)
    if figure.recorded != published:
        detail = f"recorded {figure.recorded}, published {published} at {figure.address}"
        return Finding(figure, "differs", published, detail)
    return Finding(figure, "recorded", published)
