# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building programs and images on the controller. What was built once under a key is taken from the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from . import archive, build
from .edges import run, write_atomically
from .errors import ArtifactError


class Builder:
    """Go, gcc, mmdebstrap and buildah, with a cache directory for what they gave."""

    def __init__(self, cache: Path, go: str, suite: str, debian_sources: list[str]) -> None:
        self.cache = cache
        self.go = go
        self.suite = suite
        self.debian_sources = debian_sources
        self._compiler = ""

    def compiler(self) -> str:
        """The Go compiler's version."""
        if not self._compiler:
            self._compiler = run([self.go, "env", "GOVERSION"], missing="install Go, or run scripts/setup").strip()
        return self._compiler

    # Programs

    def programs(self, recipe: build.Recipe) -> tuple[Path, dict[str, Any]]:
        """The directory with a recipe's programs, built now or before."""
        key = build.build_key(recipe, self.compiler())
        done = self.cache / "builds" / f"{recipe.component}-{recipe.version}-{recipe.architecture}-{key[:16]}"
        known = self._built(done)
        if known:
            return done, known
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
            info = {
                "compiler": self.compiler(),
                "modules": [modules[name] for name in sorted(modules)],
                "sha256": {name: archive.sha256_of(output / name) for name in sorted(recipe.programs.values())},
            }
            (output / "info.json").write_text(json.dumps(info, indent=1))
            if done.exists():
                shutil.rmtree(str(done))
            output.rename(done)
        return done, info

    @staticmethod
    def _built(directory: Path) -> dict[str, Any]:
        """What an earlier build left, if it is all there and nobody has changed it since."""
        try:
            info = json.loads((directory / "info.json").read_text())
            whole = all(archive.sha256_of(directory / name) == sha256 for name, sha256 in info["sha256"].items())
        except (OSError, ValueError, KeyError):
            return {}
        return dict(info) if whole else {}

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

    def base(self, base: str, arch: str) -> tuple[str, list[dict[str, str]]]:
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

    def push_image(self, text: str, programs: Path, address: str, reference: str, arch: str) -> str:
        """Build an image from a build file, push it into a registry and return its digest."""
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
            return digest_file.read_text().strip()


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
