# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of artifacts and the index of a mirror: from a name and a version to an address and a digest.

Pure: what these functions get was read by the caller.

A catalogue is `{component: entry}`, an entry being what one file of `roles/artifacts/files/catalogue` says. An index is
what `index.json` of a mirror says: `{"schema": 1, "files": [...], "images": [...]}`, see `index.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ArtifactError

Catalogue = Mapping[str, Mapping[str, Any]]
Index = Mapping[str, Any]

CATALOGUE_PATH = "roles/artifacts/files/catalogue"
#: How the field spells machine types, by what the machines themselves say.
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class File:
    """A file to fetch. `members` maps paths inside an archive to names, and is None for a plain program."""

    name: str
    version: str
    url: str
    sha256: str
    members: dict[str, str] | None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Image:
    """An image by its upstream reference (`host/path:tag`) and the digest that is wanted."""

    name: str
    version: str
    reference: str
    digest: str

    @property
    def repository(self) -> str:
        return self.reference.rsplit(":", 1)[0]

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "repository": self.repository}


def architecture(machine: str) -> str:
    """amd64 or arm64, from `x86_64` and the like."""
    try:
        return ARCHITECTURES[machine.lower()]
    except KeyError:
        raise ArtifactError(
            f"there are no artifacts for machines of type {machine}, only for {', '.join(sorted(ARCHITECTURES))}"
        ) from None


def expand(text: str, version: str, arch: str = "") -> str:
    """Put a version and an architecture into a pattern of the catalogue."""
    major, minor = ([*re.split(r"[.+-]", version), "", ""])[:2]
    for name, value in (("version", version), ("architecture", arch), ("major", major), ("minor", minor)):
        text = text.replace("{" + name + "}", value)
    return text


def _component_of(catalogue: Catalogue, kind: str, name: str) -> str:
    for component, entry in catalogue.items():
        if name in entry.get(kind, {}):
            return component
    known = sorted(item for entry in catalogue.values() for item in entry.get(kind, {}))
    raise ArtifactError(
        f"no {kind[:-1]} named {name} is in the catalogue ({CATALOGUE_PATH}); it has {', '.join(known)}"
    )


def file_names(entry: Mapping[str, Any]) -> list[str]:
    return sorted(entry.get("files", {}))


def image_names(entry: Mapping[str, Any]) -> list[str]:
    return sorted(entry.get("images", {}))


def versions(catalogue: Catalogue, component: str) -> list[str]:
    """The versions of a component that the catalogue lists, in its order, newest first by convention."""
    if component not in catalogue:
        raise ArtifactError(
            f"no component {component} is in the catalogue ({CATALOGUE_PATH}); it has {', '.join(sorted(catalogue))}"
        )
    return [str(version) for version in catalogue[component].get("versions", {})]


def file_url(catalogue: Catalogue, name: str, version: str, arch: str) -> str:
    """Where upstream publishes a file."""
    definition = catalogue[_component_of(catalogue, "files", name)]["files"][name]
    return expand(definition["url"], version, _spelled(definition, arch))


def file_members(catalogue: Catalogue, name: str, version: str, arch: str) -> dict[str, str] | None:
    definition = catalogue[_component_of(catalogue, "files", name)]["files"][name]
    if "members" not in definition:
        return None
    spelled = _spelled(definition, arch)
    return {expand(path, version, spelled): program for path, program in definition["members"].items()}


def _spelled(definition: Mapping[str, Any], arch: str) -> str:
    """An architecture as the names of this upstream's files have it."""
    return str(definition.get("architectures", {}).get(arch, arch))


def image_reference(catalogue: Catalogue, name: str, version: str) -> str:
    """An image's reference as upstream publishes it: `registry.k8s.io/kube-proxy:v1.36.3`."""
    entry = catalogue[_component_of(catalogue, "images", name)]
    return expand(entry["images"][name]["reference"], version)


def without_scheme(url: str) -> str:
    """`https://host/path` as `host/path`, the way upstream is laid out below a mirror."""
    return url.split("://", 1)[-1]


def _listed(catalogue: Catalogue, kind: str, name: str, version: str) -> tuple[str, Mapping[str, Any]]:
    component = _component_of(catalogue, kind, name)
    listed = {str(key): value for key, value in catalogue[component].get("versions", {}).items()}
    if version not in listed:
        raise ArtifactError(
            f"{name} {version} is not in the catalogue;"
            f" {CATALOGUE_PATH}/{component}.yml lists {', '.join(listed) or 'none'}"
        )
    return component, listed[version] or {}


def upstream_sha256(catalogue: Catalogue, name: str, version: str, arch: str) -> str:
    component, listed = _listed(catalogue, "files", name, version)
    known = ((listed.get("sha256") or {}).get(name) or {}).get(arch)
    if not known:
        raise ArtifactError(
            f"no upstream sha256 is recorded for {name} {version} ({arch}), so nothing fetched from upstream could be"
            f" verified. Record it in {CATALOGUE_PATH}/{component}.yml, as scripts/pin does, or set"
            " artifacts_source: mirror"
        )
    return str(known)


def upstream_digest(catalogue: Catalogue, name: str, version: str) -> str:
    component, listed = _listed(catalogue, "images", name, version)
    known = (listed.get("digests") or {}).get(name)
    if not known:
        raise ArtifactError(
            f"no upstream digest is recorded for the image {name} {version}, so nothing fetched from upstream could be"
            f" verified. Record it in {CATALOGUE_PATH}/{component}.yml, as scripts/pin does, or set"
            " artifacts_source: mirror"
        )
    return str(known)


def indexed_file(index: Index, name: str, version: str, arch: str) -> Mapping[str, Any]:
    """The index's entry of a file."""
    for entry in index.get("files", []):
        if (entry["name"], entry["version"], entry["architecture"]) == (name, version, arch):
            return entry
    raise _not_indexed(index, "files", name, f"{name} {version} for {arch}")


def indexed_image(index: Index, name: str, version: str) -> Mapping[str, Any]:
    """The index's entry of an image."""
    for entry in index.get("images", []):
        if (entry["name"], entry["version"]) == (name, version):
            return entry
    raise _not_indexed(index, "images", name, f"image {name} {version}")


def _not_indexed(index: Index, kind: str, name: str, what: str) -> ArtifactError:
    others = sorted({entry["version"] for entry in index.get(kind, []) if entry["name"] == name})
    return ArtifactError(
        f"the mirror's index has no {what}; it has {', '.join(others) if others else 'no version of it'}."
        " Fill it: ansible-playbook caravan.cluster.mirror"
    )


@dataclass(frozen=True)
class Source:
    """Where artifacts come from.

    `kind` is upstream or mirror. `prefix` stands before an upstream address without its scheme: a mirror's own address,
    or empty for upstream itself. `index` is the mirror's; with `upstream` it stands in for the catalogue's digests.
    """

    kind: str
    prefix: str = ""
    index: Index | None = None

    def url(self, upstream_url: str) -> str:
        return f"{self.prefix.rstrip('/')}/{without_scheme(upstream_url)}" if self.prefix else upstream_url


def resolve_file(catalogue: Catalogue, source: Source, name: str, version: str, arch: str) -> File:
    """The address and sha256 of a file. Raises ArtifactError naming what is missing, and where."""
    url = source.url(file_url(catalogue, name, version, arch))
    members = file_members(catalogue, name, version, arch)
    if source.index is not None:
        entry = indexed_file(source.index, name, version, arch)
        return File(name, version, url, str(entry["sha256"]), members)
    return File(name, version, url, upstream_sha256(catalogue, name, version, arch), members)


def resolve_image(catalogue: Catalogue, source: Source, name: str, version: str) -> Image:
    """The reference and digest of an image. Raises ArtifactError naming what is missing, and where."""
    reference = image_reference(catalogue, name, version)
    if source.index is not None:
        return Image(name, version, reference, str(indexed_image(source.index, name, version)["digest"]))
    return Image(name, version, reference, upstream_digest(catalogue, name, version))


def missing(
    catalogue: Catalogue, source: Source, components: Iterable[Mapping[str, str]], architectures: Iterable[str]
) -> list[str]:
    """What a source cannot give of these components (`[{name, version}]`): one sentence each, none if all is there."""
    problems = []
    for wanted in components:
        name, version = wanted["name"], str(wanted["version"])
        if name not in catalogue:
            problems.append(f"no component {name} is in the catalogue ({CATALOGUE_PATH})")
            continue
        for file in file_names(catalogue[name]):
            for arch in architectures:
                problems += _problem(lambda: resolve_file(catalogue, source, file, version, arch))  # noqa: B023
        for image in image_names(catalogue[name]):
            problems += _problem(lambda: resolve_image(catalogue, source, image, version))  # noqa: B023
    return problems


def _problem(resolve: Any) -> list[str]:
    try:
        resolve()
    except ArtifactError as error:
        return [str(error)]
    return []


def registries(catalogue: Catalogue) -> list[str]:
    """The upstream registries that the catalogue's images live in."""
    found = set()
    for entry in catalogue.values():
        for image in (entry.get("images") or {}).values():
            found.add(image["reference"].split("/", 1)[0])
    return sorted(found)
