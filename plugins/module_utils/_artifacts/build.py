# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an artifact is built: from the catalogue's entry to commands. Pure.

A build's *key* is a digest of everything that decides its result: the recipe, the pinned modules, the compiler.
What was built once under a key is never built again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalogue import expand
from .errors import ArtifactError

#: Raise it when the way of building changes so that results differ.
RECIPE_FORMAT = 1
#: What programs need that move packets: iptables and nft for Services and policies, ipset for policies.
BASES: dict[str, list[str]] = {
    "network": ["ca-certificates", "conntrack", "ipset", "iproute2", "iptables", "kmod", "nftables"],
}
#: What nobody needs in an image. The licences stay.
LEFT_OUT = ["/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/doc/*"]
KEPT = ["/usr/share/doc/*/copyright"]


@dataclass(frozen=True)
class Wrapper:
    """The Go module that pins a component's whole dependency graph, as two files' text."""

    path: str
    go_mod: str
    go_sum: str


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a build gives.

    `programs` maps what `go build` or gcc writes to the catalogue's names.
    """

    component: str
    version: str
    architecture: str
    method: str
    wrapper: Wrapper
    module: str
    packages: list[str] = field(default_factory=list)
    programs: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    cgo: bool = False
    static: bool = False
    sources: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


def wrapper_path(entry: Mapping[str, Any], version: str) -> str:
    """Where below `roles/artifacts/files/build` the module is that pins a component's version."""
    versions = {str(key): value or {} for key, value in entry.get("versions", {}).items()}
    if version not in versions:
        raise ArtifactError(
            f"{entry['component']} {version} is not in the catalogue, so it cannot be built; its versions are"
            f" {', '.join(versions)}"
        )
    if "build" not in entry:
        raise ArtifactError(
            f"{entry['component']} {version} comes from upstream only, it cannot be built. Fill the mirror with"
            " mirror_fill: download, or take it out of mirror_components"
        )
    return str(versions[version].get("wrapper", f"{entry['component']}/{version}"))


def go_program(package: str) -> str:
    """The name `go build` gives a package's program: the last part of its path that is not a major version."""
    parts = package.split("/")
    if len(parts) > 1 and re.fullmatch(r"v[0-9]+", parts[-1]):
        parts.pop()
    return parts[-1]


def recipe(entry: Mapping[str, Any], version: str, arch: str, wrapper: Wrapper) -> Recipe:
    """The recipe of one component's version."""
    build = entry["build"]
    if build["method"] == "c":
        programs = {build["output"]: build["output"]}
    else:
        rename = build.get("rename", {})
        programs = {
            go_program(package): rename.get(go_program(package), go_program(package)) for package in build["packages"]
        }
    return Recipe(
        component=entry["component"],
        version=version,
        architecture=arch,
        method=build["method"],
        wrapper=wrapper,
        module=build["module"],
        packages=list(build.get("packages", [])),
        programs=programs,
        tags=list(build.get("tags", [])),
        variables={name: expand(value, version, arch) for name, value in build.get("variables", {}).items()},
        cgo=bool(build.get("cgo", False)),
        static=bool(build.get("static", False)),
        sources=list(build.get("sources", [])),
        flags=[expand(flag, version, arch) for flag in build.get("flags", [])],
    )


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=vars).encode()).hexdigest()


def build_key(wanted: Recipe, compiler: str) -> str:
    """The key under which the result of this recipe with this compiler is kept."""
    return digest({"format": RECIPE_FORMAT, "recipe": wanted, "compiler": compiler})


def base_key(base: str, suite: str, sources: list[str], arch: str) -> str:
    return digest(
        {
            "format": RECIPE_FORMAT,
            "packages": BASES[base],
            "left_out": LEFT_OUT,
            "suite": suite,
            "sources": sources,
            "architecture": arch,
        }
    )


def go_environment(wanted: Recipe) -> dict[str, str]:
    return {
        "CGO_ENABLED": "1" if wanted.cgo else "0",
        "GOOS": "linux",
        "GOARCH": wanted.architecture,
        "GOWORK": "off",
        # The compiler is a Go program too. Collecting its garbage less often saves a fifth of its time, the limit keeps
        # that from taking all of a small machine's memory. Neither changes what is built.
        "GOGC": "400",
        "GOMEMLIMIT": "2GiB",
    }


def go_build_command(go: str, wanted: Recipe, output: str) -> list[str]:
    """The command that builds all of a component's programs into the directory `output`."""
    # Sorted, and with no path of this machine in it (-trimpath): the same recipe gives the same bytes anywhere.
    ldflags = ["-s", "-w"]
    for name, value in sorted(wanted.variables.items()):
        ldflags += ["-X", f"{name}={value}"]
    if wanted.static and wanted.cgo:
        ldflags += ["-linkmode", "external", "-extldflags", "-static"]
    command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", " ".join(ldflags)]
    if wanted.tags:
        command += ["-tags", ",".join(wanted.tags)]
    return [*command, "-o", output.rstrip("/") + "/", *wanted.packages]


def c_build_command(compiler: str, wanted: Recipe, module_directory: str, output: str) -> list[str]:
    """The command that compiles a C program whose sources a Go module carries."""
    (program,) = wanted.programs
    sources = [f"{module_directory}/{source}" for source in wanted.sources]
    return [
        compiler,
        *wanted.flags,
        f"-ffile-prefix-map={module_directory}=.",
        "-s",
        "-o",
        f"{output}/{program}",
        *sources,
    ]


def base_command(base: str, suite: str, sources: list[str], arch: str, output: str) -> list[str]:
    """The mmdebstrap command for an image's base. Nothing of this machine, its sources or its resolver, stays in it."""
    forget = " ".join(
        f'"$1"{path}'
        for path in (
            "/etc/apt/sources.list",
            "/etc/apt/sources.list.d/*",
            "/etc/apt/auth.conf*",
            "/etc/resolv.conf",
            "/etc/hostname",
            "/var/log/*.log",
            "/var/log/apt",
            "/var/cache/ldconfig/aux-cache",
        )
    ).replace('*"', '"*')
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=essential",
        f"--architectures={arch}",
        f"--include={','.join(BASES[base])}",
        *[f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT],
        *[f"--dpkgopt=path-include={path}" for path in KEPT],
        f"--customize-hook=rm -rf {forget}",
        suite,
        output,
        *sources,
    ]


def containerfile(image: Mapping[str, Any], labels: Mapping[str, str], base: str | None) -> str:
    """The build file of an image: its base, its programs, how it starts."""
    lines = [f"FROM {base or 'scratch'}"]
    for program, path in sorted(image["content"].items()):
        lines.append(f"COPY --chmod=0755 {program} {path}")
    for name, value in sorted(labels.items()):
        lines.append(f"LABEL {name}={json.dumps(value)}")
    if "user" in image:
        lines.append(f"USER {image['user']}")
    for port in image.get("ports", []):
        lines.append(f"EXPOSE {port}")
    entrypoint = image.get("entrypoint", [next(iter(image["content"].values()))])
    lines.append(f"ENTRYPOINT {json.dumps(entrypoint)}")
    lines.append("ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return "\n".join(lines) + "\n"


def image_labels(entry: Mapping[str, Any], wanted: Recipe, module_version: str) -> dict[str, str]:
    """What an image says of itself: honest above all about what it was built from."""
    return {
        "org.opencontainers.image.version": wanted.version,
        "org.opencontainers.image.url": entry["homepage"],
        "org.opencontainers.image.licenses": entry["licence"],
        "org.opencontainers.image.source": f"{wanted.module}@{module_version}",
        "org.opencontainers.image.vendor": "built from source by caravan.cluster",
    }


def required_version(go_mod: str, module: str) -> str:
    """The version of a module that a go.mod requires."""
    match = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if not match:
        raise ArtifactError(f"the wrapper does not require {module}")
    return match.group(1)


def parse_build_info(text: str) -> list[dict[str, str]]:
    """The modules of `go version -m`: `[{path, version, sum}]`. A replaced module counts as what replaced it."""
    modules: list[dict[str, str]] = []
    for line in text.splitlines():
        parts = line.strip().split("\t")
        if parts[0] == "dep" and len(parts) >= 3:
            modules.append({"path": parts[1], "version": parts[2], "sum": parts[3] if len(parts) > 3 else ""})
        elif parts[0] == "=>" and len(parts) >= 3 and modules:
            modules[-1] = {"path": parts[1], "version": parts[2], "sum": parts[3] if len(parts) > 3 else ""}
    return modules
