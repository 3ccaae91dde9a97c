# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a mirror on the controller: the edges (files, programs, network) around `build.py` and `index.py`."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import archive, build, index
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
from .errors import ArtifactError

REGISTRY_START_SECONDS = 20.0


def read_catalogue(directory: Path) -> dict[str, Any]:
    """All entries of a catalogue's directory."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = {}
    for path in sorted(directory.glob("*.yml")):
        entry = yaml.load(path.read_text(), Loader=loader)
        entries[entry["component"]] = entry
    if not entries:
        raise ArtifactError(f"no catalogue is in {directory}")
    return entries


def run(
    command: list[str],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    missing: str = "run scripts/setup",
) -> str:
    """Run a program and return what it printed; its last words are the error."""
    try:
        done = subprocess.run(
            command,
            cwd=str(cwd) if cwd else None,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ArtifactError(f"{command[0]} is not installed: {missing}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise ArtifactError(f"{command[0]} failed with {done.returncode}: {tail}")
    return done.stdout


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
        self.cache = cache
        self.go = go
        self.suite = suite
        self.debian_sources = debian_sources or []
        self.upstream_prefix = upstream_prefix
        self.upstream_ca = upstream_ca
        self._compiler = ""

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

    def compiler(self) -> str:
        if not self._compiler:
            self._compiler = run([self.go, "env", "GOVERSION"], missing="install Go, or run scripts/setup").strip()
        return self._compiler

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
                image["base"]: build.base_key(image["base"], self.suite, self.debian_sources, arch)
                for image in entry.get("images", {}).values()
                if "base" in image
            }
            # Upstream's figures decide nothing here.
            described = {name: value for name, value in entry.items() if name != "versions"}
            return build.digest([build.build_key(recipe, self.compiler()), described, bases])
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
        programs, info = self._programs(recipe)
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
            files.append(self._file_record(name, version, arch, url, source))
        images: list[dict[str, Any]] = []
        packages: list[dict[str, str]] = []
        if image_names(entry):
            with self._registry() as address:
                for name in image_names(entry):
                    definition = entry["images"][name]
                    base = None
                    if "base" in definition:
                        base, packages = self._base(definition["base"], arch)
                    text = build.containerfile(definition, build.image_labels(entry, recipe, module_version), base)
                    reference = image_reference(self.catalogue, name, version)
                    images.append(
                        {
                            "name": name,
                            "version": version,
                            "reference": reference,
                            "repository": index.mirror_repository(reference),
                            "source": source,
                            **self._push_built(text, programs, address, reference, arch),
                        }
                    )
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
        path.chmod(0o644)
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

    # Building programs

    def _programs(self, recipe: build.Recipe) -> tuple[Path, dict[str, Any]]:
        """The directory with a recipe's programs, built now or before."""
        key = build.build_key(recipe, self.compiler())
        done = self.cache / "builds" / f"{recipe.component}-{recipe.version}-{recipe.architecture}-{key[:16]}"
        if (done / "info.json").is_file():
            return done, json.loads((done / "info.json").read_text())
        done.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{recipe.component}-", dir=str(done.parent)) as temporary:
            work, output = Path(temporary) / "source", Path(temporary) / "programs"
            work.mkdir()
            output.mkdir()
            (work / "go.mod").write_text(recipe.wrapper.go_mod)
            (work / "go.sum").write_text(recipe.wrapper.go_sum)
            if recipe.method == "c":
                self._compile_c(recipe, work, output)
            else:
                self._compile_go(recipe, work, output)
            modules: dict[tuple[str, str], dict[str, str]] = {}
            for built, program in recipe.programs.items():
                if built != program:
                    (output / built).rename(output / program)
                (output / program).chmod(0o755)
                if recipe.method == "go":
                    for module in build.parse_build_info(run([self.go, "version", "-m", str(output / program)])):
                        modules[(module["path"], module["version"])] = module
            info = {"compiler": self.compiler(), "modules": [modules[name] for name in sorted(modules)]}
            (output / "info.json").write_text(json.dumps(info, indent=1))
            if done.exists():
                shutil.rmtree(str(done))
            output.rename(done)
        return done, info

    def _compile_go(self, recipe: build.Recipe, work: Path, output: Path) -> None:
        if recipe.cgo and recipe.architecture != self._own_architecture():
            raise ArtifactError(
                f"{recipe.component} contains C and can only be built for this machine's own architecture"
                f" ({self._own_architecture()}), not for {recipe.architecture}; use mirror_fill: download for it"
            )
        run(build.go_build_command(self.go, recipe, str(output)), cwd=work, environment=build.go_environment(recipe))

    def _compile_c(self, recipe: build.Recipe, work: Path, output: Path) -> None:
        if recipe.architecture != self._own_architecture():
            raise ArtifactError(f"{recipe.component} can only be built for this machine's own architecture")
        module = f"{recipe.module}@{build.required_version(recipe.wrapper.go_mod, recipe.module)}"
        # Checked against the wrapper's go.sum.
        fetched = json.loads(run([self.go, "mod", "download", "-json", module], cwd=work))
        run(build.c_build_command("gcc", recipe, fetched["Dir"], str(output)))

    def _own_architecture(self) -> str:
        return run([self.go, "env", "GOHOSTARCH"]).strip()

    # Images

    def _storage(self) -> list[str]:
        """Own storage for buildah, so that the user's images stay out of it, and it out of the user's."""
        containers = self.cache / "containers"
        return ["--root", str(containers / "storage"), "--runroot", str(containers / "run")]

    def _buildah(self, *arguments: str, cwd: Path | None = None) -> str:
        containers = self.cache / "containers"
        containers.mkdir(parents=True, exist_ok=True)
        return run(["buildah", *self._storage(), *arguments], cwd=cwd, environment={"BUILDAH_ISOLATION": "chroot"})

    def _base(self, base: str, arch: str) -> tuple[str, list[dict[str, str]]]:
        """The image that others stand on, as a reference and the list of its Debian packages. Built once."""
        key = build.base_key(base, self.suite, self.debian_sources, arch)
        name = f"localhost/caravan-base-{base}:{key[:16]}"
        done = self.cache / "builds" / f"base-{base}-{arch}-{key[:16]}"
        tar = done / "rootfs.tar"
        if not (done / "packages.json").is_file():
            done.mkdir(parents=True, exist_ok=True)
            environment = {"SOURCE_DATE_EPOCH": "1", "TMPDIR": "/var/tmp"}
            part = done / "rootfs.tar.part"
            part.unlink() if part.exists() else None
            command = build.base_command(base, self.suite, self.debian_sources, arch, "-")
            with part.open("wb") as output:
                try:
                    made = subprocess.run(
                        command, stdout=output, stderr=subprocess.PIPE, env={**os.environ, **environment}, check=False
                    )
                except FileNotFoundError as error:
                    raise ArtifactError("mmdebstrap is not installed: run scripts/setup") from error
            if made.returncode != 0:
                tail = "\n".join(made.stderr.decode(errors="replace").strip().splitlines()[-15:])
                raise ArtifactError(f"mmdebstrap failed: {tail}")
            part.replace(tar)
            status = run(["tar", "-xOf", str(tar), "./var/lib/dpkg/status"])
            write_atomically(done / "packages.json", json.dumps(parse_dpkg_status(status)))
        if not self._has_image(name):
            (done / "Containerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
            self._buildah(
                "build",
                "--quiet",
                "--timestamp",
                "0",
                "--layers=false",
                "--arch",
                arch,
                "--tag",
                name,
                str(done),
                cwd=done,
            )
        return name, json.loads((done / "packages.json").read_text())

    def _has_image(self, name: str) -> bool:
        try:
            self._buildah("inspect", "--type", "image", name)
        except ArtifactError:
            return False
        return True

    def _push_built(self, text: str, programs: Path, address: str, reference: str, arch: str) -> dict[str, Any]:
        """Build an image and push it into the mirror's registry; returns its digest and the blobs it consists of."""
        local = "localhost/caravan-built:" + hashlib.sha256((reference + arch).encode()).hexdigest()[:16]
        target = f"{address}/{reference}"
        with tempfile.TemporaryDirectory(prefix="caravan-image-") as temporary:
            build_file = Path(temporary) / "Containerfile"
            build_file.write_text(text)
            digest_file = Path(temporary) / "digest"
            self._buildah(
                "build",
                "--quiet",
                "--pull-never",
                "--format",
                "oci",
                "--timestamp",
                "0",
                "--layers=false",
                "--arch",
                arch,
                "--file",
                str(build_file),
                "--tag",
                local,
                str(programs),
                cwd=programs,
            )
            self._buildah(
                "push", "--quiet", "--tls-verify=false", "--digestfile", str(digest_file), local, f"docker://{target}"
            )
            self._buildah("rmi", local)
            digest = digest_file.read_text().strip()
        return {"digest": digest, "blobs": self._blobs(digest)}

    def _blobs(self, digest: str) -> list[str]:
        """All blobs of a manifest in the registry's storage, through the manifests of an index."""
        manifest = json.loads((self.data / "registry" / index.blob(digest)).read_text())
        found = []
        for part in manifest.get("manifests", []):
            if (self.data / "registry" / index.blob(part["digest"])).is_file():
                found += [part["digest"], *self._blobs(part["digest"])]
        for part in [manifest.get("config"), *manifest.get("layers", [])]:
            if part:
                found.append(part["digest"])
        return sorted(set(found))

    @contextlib.contextmanager
    def _registry(self) -> Iterator[str]:
        """A registry over the mirror's storage, on this machine's loopback, for as long as the block lasts."""
        storage = self.data / "registry"
        storage.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        address = f"127.0.0.1:{port}"
        with tempfile.TemporaryDirectory(prefix="caravan-registry-") as temporary:
            configuration = Path(temporary) / "config.yml"
            # JSON is YAML.
            configuration.write_text(
                json.dumps(
                    {
                        "version": 0.1,
                        "log": {"level": "warn", "accesslog": {"disabled": True}},
                        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": False}},
                        "http": {"addr": address},
                    }
                )
            )
            with (Path(temporary) / "log").open("w+b") as log:
                try:
                    process = subprocess.Popen(
                        ["docker-registry", "serve", str(configuration)], stdout=log, stderr=subprocess.STDOUT
                    )
                except FileNotFoundError as error:
                    raise ArtifactError("docker-registry is not installed: run scripts/setup") from error
                try:
                    self._wait_for(address, process, Path(temporary) / "log")
                    yield address
                finally:
                    process.terminate()
                    process.wait()

    @staticmethod
    def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
        end = time.monotonic() + REGISTRY_START_SECONDS
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                opener.open(f"http://{address}/v2/", timeout=2).close()
                return
            except OSError as error:
                if process.poll() is not None or time.monotonic() > end:
                    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                    raise ArtifactError(
                        f"the registry did not answer on {address}: {error}; it said: {tail}"
                    ) from error
                time.sleep(0.05)

    # Downloading

    def _download(self, component: str, version: str, arch: str) -> dict[str, Any]:
        entry = self.catalogue[component]
        # All figures first: nothing is fetched when something could not be verified.
        figures = {name: upstream_sha256(self.catalogue, name, version, arch) for name in file_names(entry)}
        digests = {name: upstream_digest(self.catalogue, name, version) for name in image_names(entry)}
        files = []
        for name, sha256 in figures.items():
            url = file_url(self.catalogue, name, version, arch)
            self._fetch(f"{name} {version}", url, sha256)
            files.append(self._file_record(name, version, arch, url, url))
        images: list[dict[str, Any]] = []
        if digests:
            with self._registry() as address:
                for name, digest in digests.items():
                    reference = image_reference(self.catalogue, name, version)
                    repository = index.mirror_repository(reference)
                    run(
                        [
                            "skopeo",
                            "copy",
                            "--quiet",
                            "--all",
                            "--preserve-digests",
                            "--dest-tls-verify=false",
                            f"docker://{repository}@{digest}",
                            f"docker://{address}/{reference}",
                        ]
                    )
                    images.append(
                        {
                            "name": name,
                            "version": version,
                            "reference": reference,
                            "repository": repository,
                            "source": reference,
                            "digest": digest,
                            "blobs": self._blobs(digest),
                        }
                    )
        return {
            "source": entry["homepage"],
            "files": files,
            "images": images,
            "modules": [],
            "packages": [],
            "compiler": "",
        }

    def _fetch(self, what: str, url: str, sha256: str) -> None:
        target = self.data / "files" / index.file_path(url)
        if target.is_file() and archive.sha256_of(target) == sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        address = f"{self.upstream_prefix.rstrip('/')}/{index.file_path(url)}" if self.upstream_prefix else url
        context = ssl.create_default_context(cafile=self.upstream_ca or None)
        seen = hashlib.sha256()
        try:
            with urllib.request.urlopen(address, timeout=60, context=context) as answer, part.open("wb") as output:
                for data in iter(lambda: answer.read(archive.CHUNK), b""):
                    seen.update(data)
                    output.write(data)
        except (urllib.error.URLError, OSError) as error:
            raise ArtifactError(f"{what} cannot be fetched from {address}: {error}") from error
        if seen.hexdigest() != sha256:
            part.unlink()
            raise ArtifactError(f"{what} from {address} is refused: its sha256 is {seen.hexdigest()}, wanted {sha256}")
        part.replace(target)


def link_or_copy(source: Path, target: Path) -> None:
    if target.exists():
        target.unlink()
    try:
        os.link(str(source), str(target))
    except OSError:
        shutil.copyfile(str(source), str(target))


def write_atomically(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def parse_dpkg_status(text: str) -> list[dict[str, str]]:
    """The installed packages of a dpkg status file."""
    found = []
    for paragraph in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" ")
        )
        if fields.get("Status") == "install ok installed":
            found.append({name.lower(): fields[name] for name in ("Package", "Version", "Architecture")})
    return sorted(found, key=lambda package: package["package"])


def split_wanted(components: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`[{name, versions: [..]}]` or `[{name, version}]` as `[{name, version}]` without repetition."""
    found: list[dict[str, str]] = []
    for component in components:
        for version in component.get("versions") or [component["version"]]:
            item = {"name": str(component["name"]), "version": expand("{version}", str(version))}
            if item not in found:
                found.append(item)
    return found
