# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes, their keys, the commands they give, and the records of a mirror."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import archive, build, filling, index
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.builder import Builder, parse_dpkg_status
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.errors import ArtifactError

WRAPPER = build.Wrapper("tool/1.2.3", "module w\n\nrequire example.org/tool/v3 v3.1.0\n", "sums")
ENTRY: dict[str, Any] = {
    "component": "tool",
    "homepage": "https://example.org",
    "licence": "MIT",
    "build": {
        "method": "go",
        "module": "example.org/tool/v3",
        "packages": ["example.org/tool/v3", "example.org/tool/v3/cmd/helper"],
        "rename": {"tool": "toold"},
        "variables": {"example.org/tool/v3.Version": "v{version}"},
        "tags": ["a", "b"],
    },
    "versions": {"1.2.3": {}, "1.3.0": {"wrapper": "elsewhere/1"}},
}
RECIPE = build.recipe(ENTRY, "1.2.3", "amd64", WRAPPER)


def test_a_program_is_named_as_go_names_it() -> None:
    assert build.go_program("go.etcd.io/etcd/server/v3") == "server"
    assert build.go_program("github.com/coredns/coredns") == "coredns"
    assert RECIPE.programs == {"tool": "toold", "helper": "helper"}


def test_the_build_command_leaves_no_trace_of_the_machine() -> None:
    command = build.go_build_command("go", RECIPE, "/out")
    assert command[:5] == ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    assert "-s -w -X example.org/tool/v3.Version=v1.2.3" in command
    assert command[command.index("-tags") + 1] == "a,b"
    assert command[-4:] == ["-o", "/out/", *RECIPE.packages]


def test_static_c_is_linked_statically() -> None:
    recipe = dataclasses.replace(RECIPE, cgo=True, static=True)
    assert any("-extldflags -static" in part for part in build.go_build_command("go", recipe, "/out"))
    assert build.go_environment(recipe)["CGO_ENABLED"] == "1"
    assert build.go_environment(RECIPE)["CGO_ENABLED"] == "0"


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.2.4"},
        {"architecture": "arm64"},
        {"tags": []},
        {"wrapper": dataclasses.replace(WRAPPER, go_sum="others")},
        {"variables": {}},
    ],
)
def test_the_key_follows_all_that_decides_the_result(change: dict[str, Any]) -> None:
    assert build.build_key(dataclasses.replace(RECIPE, **change), "go1") != build.build_key(RECIPE, "go1")


def test_the_key_follows_the_compiler_and_nothing_else() -> None:
    assert build.build_key(RECIPE, "go2") != build.build_key(RECIPE, "go1")
    assert build.build_key(RECIPE, "go1") == build.build_key(build.recipe(ENTRY, "1.2.3", "amd64", WRAPPER), "go1")


def test_the_wrapper_is_the_versions_own_unless_it_says_otherwise() -> None:
    assert build.wrapper_path(ENTRY, "1.2.3") == "tool/1.2.3"
    assert build.wrapper_path(ENTRY, "1.3.0") == "elsewhere/1"
    with pytest.raises(ArtifactError, match=r"1\.2\.3, 1\.3\.0"):
        build.wrapper_path(ENTRY, "2.0.0")


def test_the_required_version() -> None:
    assert build.required_version(WRAPPER.go_mod, "example.org/tool/v3") == "v3.1.0"
    assert build.required_version("require (\n\ta.b/c v1.0.0 // indirect\n)\n", "a.b/c") == "v1.0.0"
    with pytest.raises(ArtifactError):
        build.required_version(WRAPPER.go_mod, "example.org/tool")


def test_an_image_says_what_it_was_built_from() -> None:
    labels = build.image_labels(ENTRY, RECIPE, "v3.1.0")
    assert labels["org.opencontainers.image.source"] == "example.org/tool/v3@v3.1.0"
    text = build.containerfile({"content": {"toold": "/toold"}, "user": "1:1", "ports": ["53/udp"]}, labels, None)
    assert text.startswith("FROM scratch\nCOPY --chmod=0755 toold /toold\n")
    assert 'ENTRYPOINT ["/toold"]' in text and "USER 1:1" in text and "EXPOSE 53/udp" in text
    assert build.containerfile({"content": {"a": "/a"}, "entrypoint": []}, {}, "base").count("ENTRYPOINT []") == 1


def test_a_base_keeps_nothing_of_the_machine() -> None:
    command = build.base_command("network", "bookworm", ["deb http://example.org bookworm main"], "amd64", "-")
    hook = next(part for part in command if part.startswith("--customize-hook"))
    for path in ("sources.list", "sources.list.d", "auth.conf", "resolv.conf", "hostname"):
        assert path in hook
    assert command[-3:] == ["bookworm", "-", "deb http://example.org bookworm main"]


def test_build_information_takes_the_module_that_replaced() -> None:
    text = (
        "x: go1.26\n\tpath\tx\n\tdep\ta.b/c\tv1.0.0\th1:1=\n"
        "\tdep\td\tv2.0.0\n\t=>\te\tv3.0.0\th1:2=\n\tbuild\t-trimpath=true\n"
    )
    assert build.parse_build_info(text) == [
        {"path": "a.b/c", "version": "v1.0.0", "sum": "h1:1="},
        {"path": "e", "version": "v3.0.0", "sum": "h1:2="},
    ]


def test_packages_of_a_base() -> None:
    status = (
        "Package: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\nDescription: x\n y: z\n\n"
        "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n"
    )
    assert parse_dpkg_status(status) == [
        {"package": "a", "version": "1", "architecture": "all"},
        {"package": "b", "version": "2", "architecture": "amd64"},
    ]


def test_archives_of_the_same_content_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"one")
    (tmp_path / "two").write_bytes(b"two")
    archive.write(tmp_path / "a.tgz", {"./one": tmp_path / "one", "x/two": tmp_path / "two"})
    (tmp_path / "one").touch()
    archive.write(tmp_path / "b.tar.gz", {"x/two": tmp_path / "two", "./one": tmp_path / "one"})
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    assert {name: content.read() for name, content in archive.read(tmp_path / "a.tgz")} == {
        "one": b"one",
        "x/two": b"two",
    }


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"broken\.tgz"):
        list(archive.read(tmp_path / "broken.tgz"))


def test_the_index_is_sorted_and_has_both_minor_versions() -> None:
    def state(version: str) -> dict[str, Any]:
        return {
            "files": [{"name": "kubelet", "version": version, "architecture": "amd64"}],
            "images": [{"name": "kube-proxy", "version": version}],
        }

    composed = index.compose([state("1.36.3"), state("1.35.4")])
    assert [entry["version"] for entry in composed["files"]] == ["1.35.4", "1.36.3"]
    assert [entry["version"] for entry in composed["images"]] == ["1.35.4", "1.36.3"]
    assert composed == index.compose([state("1.35.4"), state("1.36.3")])


def test_layout() -> None:
    assert index.file_path("https://dl.k8s.io/release/x") == "dl.k8s.io/release/x"
    assert index.mirror_repository("registry.k8s.io/pause:3.10.1") == "registry.k8s.io/pause"
    assert index.blob("sha256:abcd") == "docker/registry/v2/blobs/sha256/ab/abcd/data"


def test_components_are_split_by_version() -> None:
    wanted: list[dict[str, Any]] = [
        {"name": "a", "versions": ["1", "2"]},
        {"name": "a", "versions": ["2"]},
        {"name": "b", "version": 3},
        {"name": "not-wanted-here", "versions": []},
    ]
    assert filling.split_wanted(wanted) == [
        {"name": "a", "version": "1"},
        {"name": "a", "version": "2"},
        {"name": "b", "version": "3"},
    ]


def test_a_mirror_knows_when_something_of_a_component_is_gone(tmp_path: Path) -> None:
    mirror = filling.Mirror({}, tmp_path, tmp_path, tmp_path)
    digest = "sha256:" + archive.sha256_of(_written(tmp_path / "manifest", b"{}"))
    file = _written(tmp_path / "files" / "host" / "tool", b"tool")
    blob = _written(tmp_path / "registry" / index.blob(digest), b"{}")
    _written(tmp_path / "registry" / index.tag_link("host/tool", "v1"), digest.encode())
    state = {
        "files": [{"path": "host/tool", "size": 4, "sha256": archive.sha256_of(file)}],
        "images": [{"reference": "host/tool:v1", "digest": digest, "blobs": []}],
    }
    assert mirror.is_whole(state, verify=True)
    file.write_bytes(b"toll")
    assert mirror.is_whole(state) and not mirror.is_whole(state, verify=True)
    file.write_bytes(b"longer")
    assert not mirror.is_whole(state)
    file.write_bytes(b"tool")
    blob.write_bytes(b"[]")
    assert mirror.is_whole(state) and not mirror.is_whole(state, verify=True)
    blob.unlink()
    assert not mirror.is_whole(state)


def test_a_cached_program_that_was_changed_is_built_again(tmp_path: Path) -> None:
    program = _written(tmp_path / "tool", b"tool")
    _written(tmp_path / "info.json", json.dumps({"sha256": {"tool": archive.sha256_of(program)}}).encode())
    assert Builder._built(tmp_path)
    program.write_bytes(b"toll")
    assert not Builder._built(tmp_path)
    assert not Builder._built(tmp_path / "nothing")


def _written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_program_in_the_mirror_is_still_one_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one file, which the mirror serves, and which images are made of."""
    entry = {**ENTRY, "files": {"toold": {"url": "https://example.org/v{version}/toold", "binary": "toold"}}}
    built, wrapper = _written(tmp_path / "cache" / "toold", b"program"), tmp_path / "build" / "tool" / "1.2.3"
    built.chmod(0o755)
    _written(wrapper / "go.mod", WRAPPER.go_mod.encode())
    _written(wrapper / "go.sum", b"sums")
    mirror = filling.Mirror({"tool": entry}, tmp_path / "build", tmp_path / "data", tmp_path / "cache")
    monkeypatch.setattr(mirror.builder, "compiler", lambda: "go1")
    monkeypatch.setattr(mirror.builder, "programs", lambda recipe: (built.parent, {"modules": [], "compiler": "go1"}))
    for _time in range(2):
        mirror.fill("tool", "1.2.3", "amd64", "build")
        served = tmp_path / "data" / "files" / "example.org" / "v1.2.3" / "toold"
        assert served.samefile(built) and built.stat().st_mode & 0o777 == 0o755
        assert list(served.parent.iterdir()) == [served]
