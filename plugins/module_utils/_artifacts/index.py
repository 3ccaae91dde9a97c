# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror's own records: one *state* per component, version and architecture, and the index made of them. Pure.

State: `{component, version, architecture, method, key, source, files: [file], images: [image], modules, packages}`
File:  `{name, version, architecture, url, path, sha256, size, source}`, `path` being below the mirror's `files/`.
Image: `{name, version, reference, repository, digest, source}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .catalogue import without_scheme

SCHEMA = 1


def state_name(component: str, version: str, architecture: str) -> str:
    return f"{component}-{version}-{architecture}.json"


def file_path(url: str) -> str:
    """Where below `files/` a file is: its upstream address without the scheme."""
    return without_scheme(url)


def mirror_repository(reference: str) -> str:
    """The repository inside the mirror's registry: the upstream registry's name is its first part."""
    return reference.rsplit(":", 1)[0]


def compose(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The index: everything that is in the mirror, sorted, so that the same mirror gives the same index."""
    files: list[Mapping[str, Any]] = []
    images: dict[tuple[str, str], Mapping[str, Any]] = {}
    for state in states:
        files += state["files"]
        for image in state["images"]:
            images[(image["name"], image["version"])] = image
    return {
        "schema": SCHEMA,
        "files": sorted(files, key=lambda entry: (entry["name"], entry["version"], entry["architecture"])),
        "images": [images[key] for key in sorted(images)],
    }


def tag_link(repository: str, tag: str) -> str:
    """The file in a registry's storage that says which manifest a tag stands for."""
    return f"docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}/current/link"


def blob(digest: str) -> str:
    """The file in a registry's storage that holds a blob."""
    algorithm, value = digest.split(":", 1)
    return f"docker/registry/v2/blobs/{algorithm}/{value[:2]}/{value}/data"
