# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a mirror on the controller: what it has, what it lacks, and bringing that in."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import archive, build, download, index, registry
from .builder import Builder
from .catalogue import (
    Catalogue,
    expand,
    file_members,
    file_names,
    file_url,
    image_names,
    image_reference,
    upstream_digest,
    upstream_sha256,
)
from .edges import link_or_copy, write_atomically
from .errors import ArtifactError


class Mirror:
    """One mirror's data, and what is needed to fill it."""

    def __init__(
        self,
        catalogue: Catalogue,
        build_directory: Path,
        data: Path,
        cache: Path,
        go: str = "go",
        suite: str = "bookworm",
        debian_sources: list[str] | None = None,
        upstream_prefix: str = "",
        upstream_ca: str = "",
    ) -> None:
        self.catalogue = catalogue
        self.build_directory = build_directory
        self.data = data
        self.builder = Builder(cache, go, suite, debian_sources or [])
        self.upstream_prefix = upstream_prefix
        self.upstream_ca = upstream_ca

    # What is there

    def states(self) -> list[dict[str, Any]]:
        found = []
        for path in sorted((self.data / "state").glob("*.json")):
            found.append(json.loads(path.read_text()))
        return found

    def state(self, component: str, version: str, arch: str) -> dict[str, Any] | None:
        path = self.data / "state" / index.state_name(component, version, arch)
        try:
            return dict(json.loads(path.read_text()))
        except (OSError, ValueError):
            return None

    def is_whole(self, state: Mapping[str, Any], verify: bool = False) -> bool:
        """Whether all that a state lists is in the mirror: by size, or with `verify` by content."""
        for file in state["files"]:
            path = self.data / "files" / file["path"]
            if not path.is_file() or path.stat().st_size != file["size"]:
                return False
            if verify and archive.sha256_of(path) != file["sha256"]:
                return False
        for image in state["images"]:
            repository, tag = image["reference"].rsplit(":", 1)
            storage = self.data / "registry"
            try:
                link = (storage / index.tag_link(repository, tag)).read_text().strip()
            except OSError:
                return False
            blobs = [image["digest"], *image.get("blobs", [])]
            if link != image["digest"] or not all((storage / index.blob(blob)).is_file() for blob in blobs):
                return False
            if verify and any(archive.sha256_of(storage / index.blob(blob)) != blob.split(":")[1] for blob in blobs):
                return False
        return True

    # What is wanted

    def recipe(self, component: str, version: str, arch: str) -> build.Recipe:
        entry = self.catalogue[component]
        path = build.wrapper_path(entry, version)
        directory = self.build_directory / path
        if not (directory / "go.mod").is_file():
            raise ArtifactError(f"{component} {version} cannot be built: {directory} has no go.mod")
        wrapper = build.Wrapper(path, (directory / "go.mod").read_text(), (directory / "go.sum").read_text())
        return build.recipe(entry, version, arch, wrapper)

    def key(self, component: str, version: str, arch: str, method: str) -> str:
        """What decides a component's content in the mirror."""
        if component not in self.catalogue:
            raise ArtifactError(
                f"no component {component} is in the catalogue; it has {', '.join(sorted(self.catalogue))}"
            )
        entry = self.catalogue[component]
        if method == "build":
            recipe = self.recipe(component, version, arch)
            bases = {
                image["base"]: build.base_key(image["base"], self.builder.suite, self.builder.debian_sources, arch)
                for image in entry.get("images", {}).values()
                if "base" in image
            }
            # Upstream's figures decide nothing here.
            described = {name: value for name, value in entry.items() if name != "versions"}
            return build.digest([build.build_key(recipe, self.builder.compiler()), described, bases])
        return build.digest([method, entry, version, arch])

    def missing(
        self, wanted: Sequence[Mapping[str, str]], architectures: Sequence[str], method: str, verify: bool = False
    ) -> list[dict[str, str]]:
        """What of the wanted components is not in the mirror as it should be: `[{name, version, architecture}]`."""
        found = []
        for component in wanted:
            for arch in architectures:
                name, version = component["name"], str(component["version"])
                key = self.key(name, version, arch, method)
                state = self.state(name, version, arch)
                if state is None or state["key"] != key or not self.is_whole(state, verify):
                    found.append({"name": name, "version": version, "architecture": arch})
        return found

    # Filling

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Only one fill at a time works on a mirror; a second one waits, and then finds its work done."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def fill(self, component: str, version: str, arch: str, method: str) -> dict[str, Any]:
        """Bring one component's files and images into the mirror and record them. Returns the state."""
        key = self.key(component, version, arch, method)
        contents = (
            self._build(component, version, arch) if method == "build" else self._download(component, version, arch)
        )
        state = {
            "component": component,
            "version": version,
            "architecture": arch,
            "method": method,
            "key": key,
            "homepage": self.catalogue[component]["homepage"],
            "licence": self.catalogue[component]["licence"],
            **contents,
        }
        path = self.data / "state" / index.state_name(component, version, arch)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(state, indent=2, sort_keys=True) + "\n")
        return state

    def _build(self, component: str, version: str, arch: str) -> dict[str, Any]:
        entry = self.catalogue[component]
        recipe = self.recipe(component, version, arch)
        programs, info = self.builder.programs(recipe)
        module_version = build.required_version(recipe.wrapper.go_mod, recipe.module)
        source = f"{recipe.module}@{module_version}"
        files = []
        for name in file_names(entry):
            url = file_url(self.catalogue, name, version, arch)
            target = self.data / "files" / index.file_path(url)
            target.parent.mkdir(parents=True, exist_ok=True)
            members = file_members(self.catalogue, name, version, arch)
            part = target.with_name(target.name + ".part")
            if members is None:
                link_or_copy(programs / entry["files"][name]["binary"], part)
            else:
                archive.write(part, {path: programs / program for path, program in members.items()})
            part.replace(target)
            # Renaming a file to another name of itself does nothing, and leaves it.
            part.unlink(missing_ok=True)
            files.append(self._file_record(name, version, arch, url, source))
        images: list[dict[str, Any]] = []
        packages: list[dict[str, str]] = []
        if image_names(entry):
            labels = build.image_labels(entry, recipe, module_version)
            with registry.serving(self.data / "registry") as address:
                for name in image_names(entry):
                    definition = entry["images"][name]
                    base = None
                    if "base" in definition:
                        base, packages = self.builder.base(definition["base"], arch)
                    reference = image_reference(self.catalogue, name, version)
                    text = build.containerfile(definition, labels, base)
                    digest = self.builder.push_image(text, programs, address, reference, arch)
                    images.append(self._image_record(name, version, reference, digest, source))
        return {
            "source": source,
            "files": files,
            "images": images,
            "modules": info["modules"],
            "packages": packages,
            "compiler": info["compiler"],
        }

    def _file_record(self, name: str, version: str, arch: str, url: str, source: str) -> dict[str, Any]:
        path = self.data / "files" / index.file_path(url)
        # Only more: a program that was built is the same file as in the cache of builds, and is run from there.
        path.chmod(path.stat().st_mode | 0o444)
        return {
            "name": name,
            "version": version,
            "architecture": arch,
            "url": url,
            "path": index.file_path(url),
            "sha256": archive.sha256_of(path),
            "size": path.stat().st_size,
            "source": source,
        }

    def _image_record(self, name: str, version: str, reference: str, digest: str, source: str) -> dict[str, Any]:
        return {
            "name": name,
            "version": version,
            "reference": reference,
            "repository": index.mirror_repository(reference),
            "digest": digest,
            "blobs": registry.blobs(self.data / "registry", digest),
            "source": source,
        }

    def _download(self, component: str, version: str, arch: str) -> dict[str, Any]:
        entry = self.catalogue[component]
        # All figures first: nothing is fetched when something could not be verified.
        figures = {name: upstream_sha256(self.catalogue, name, version, arch) for name in file_names(entry)}
        digests = {name: upstream_digest(self.catalogue, name, version) for name in image_names(entry)}
        files = []
        for name, sha256 in figures.items():
            url = file_url(self.catalogue, name, version, arch)
            address = f"{self.upstream_prefix.rstrip('/')}/{index.file_path(url)}" if self.upstream_prefix else url
            target = self.data / "files" / index.file_path(url)
            download.fetch_file(f"{name} {version}", address, sha256, target, self.upstream_ca)
            files.append(self._file_record(name, version, arch, url, url))
        images: list[dict[str, Any]] = []
        if digests:
            with registry.serving(self.data / "registry") as address:
                for name, digest in digests.items():
                    reference = image_reference(self.catalogue, name, version)
                    download.copy_image(reference, digest, address)
                    images.append(self._image_record(name, version, reference, digest, reference))
        return {
            "source": entry["homepage"],
            "files": files,
            "images": images,
            "modules": [],
            "packages": [],
            "compiler": "",
        }


def split_wanted(components: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`[{name, versions: [..]}]` or `[{name, version}]` as `[{name, version}]` without repetition."""
    found: list[dict[str, str]] = []
    for component in components:
        for version in component["versions"] if "versions" in component else [component["version"]]:
            item = {"name": str(component["name"]), "version": expand("{version}", str(version))}
            if item not in found:
                found.append(item)
    return found
