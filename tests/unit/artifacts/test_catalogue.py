# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a name and a version to an address and a digest, and the errors a person gets when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import build, catalogue
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.catalogue import Source
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.edges import read_catalogue
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.errors import ArtifactError
from ansible_collections.caravan.cluster.plugins.plugin_utils.artifact_settings import DEFAULTS

ROLE = Path(__file__).resolve().parents[3] / "roles" / "artifacts"
REAL = read_catalogue(ROLE / "files" / "catalogue")
SMALL: dict[str, Any] = {
    "tool": {
        "component": "tool",
        "files": {
            "tool": {
                "url": "https://example.org/v{version}/tool-{architecture}.tar.gz",
                "members": {"tool-{version}/bin/tool": "tool"},
            }
        },
        "images": {"tool-image": {"reference": "registry.example.org/tools/tool:v{version}"}},
        "versions": {
            "1.2.3": {"sha256": {"tool": {"amd64": "a" * 64}}, "digests": {"tool-image": "sha256:" + "b" * 64}},
            "1.3.0": {"sha256": {"tool": None}},
        },
    }
}
INDEX = {
    "files": [{"name": "tool", "version": "1.2.3", "architecture": "amd64", "sha256": "c" * 64}],
    "images": [{"name": "tool-image", "version": "1.2.3", "digest": "sha256:" + "d" * 64}],
}


def test_upstream_is_resolved_from_the_catalogue() -> None:
    file = catalogue.resolve_file(SMALL, Source("upstream"), "tool", "1.2.3", "amd64")
    assert file.url == "https://example.org/v1.2.3/tool-amd64.tar.gz"
    assert file.sha256 == "a" * 64
    assert file.members == {"tool-1.2.3/bin/tool": "tool"}
    image = catalogue.resolve_image(SMALL, Source("upstream"), "tool-image", "1.2.3")
    assert image.as_dict() == {
        "name": "tool-image",
        "version": "1.2.3",
        "reference": "registry.example.org/tools/tool:v1.2.3",
        "repository": "registry.example.org/tools/tool",
        "digest": "sha256:" + "b" * 64,
    }


def test_a_mirror_is_laid_out_as_upstream_and_its_index_has_the_figures() -> None:
    source = Source("mirror", "https://mirror:8443/", INDEX)
    file = catalogue.resolve_file(SMALL, source, "tool", "1.2.3", "amd64")
    assert (file.url, file.sha256) == ("https://mirror:8443/example.org/v1.2.3/tool-amd64.tar.gz", "c" * 64)
    image = catalogue.resolve_image(SMALL, source, "tool-image", "1.2.3")
    assert (image.reference, image.digest) == ("registry.example.org/tools/tool:v1.2.3", "sha256:" + "d" * 64)


def test_upstream_behind_a_prefix_keeps_the_catalogues_figures() -> None:
    file = catalogue.resolve_file(SMALL, Source("upstream", "https://proxy"), "tool", "1.2.3", "amd64")
    assert (file.url, file.sha256) == ("https://proxy/example.org/v1.2.3/tool-amd64.tar.gz", "a" * 64)


@pytest.mark.parametrize(
    ("name", "version", "arch", "words"),
    [
        ("toll", "1.2.3", "amd64", "no file named toll is in the catalogue"),
        ("tool", "9.9.9", "amd64", "tool.yml lists 1.2.3, 1.3.0"),
        ("tool", "1.2.3", "arm64", "no upstream sha256 is recorded for tool 1.2.3 (arm64)"),
        ("tool", "1.3.0", "amd64", "roles/artifacts/files/catalogue/tool.yml"),
    ],
)
def test_what_upstream_cannot_give_is_said(name: str, version: str, arch: str, words: str) -> None:
    with pytest.raises(ArtifactError) as error:
        catalogue.resolve_file(SMALL, Source("upstream"), name, version, arch)
    assert words in str(error.value)


def test_what_a_mirror_lacks_is_said_with_what_it_has() -> None:
    problems = catalogue.missing(
        SMALL,
        Source("mirror", "https://mirror", INDEX),
        [{"name": "tool", "version": "1.3.0"}, {"name": "other", "version": "1"}],
        ["amd64"],
    )
    assert len(problems) == 3
    assert "no tool 1.3.0 for amd64; it has 1.2.3" in problems[0]
    assert "no image tool-image 1.3.0" in problems[1]
    assert "no component other" in problems[2]
    assert (
        catalogue.missing(SMALL, Source("mirror", "", INDEX), [{"name": "tool", "version": "1.2.3"}], ["amd64"]) == []
    )


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("AMD64", "amd64")])
def test_architectures(machine: str, arch: str) -> None:
    assert catalogue.architecture(machine) == arch


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ArtifactError, match="riscv64"):
        catalogue.architecture("riscv64")


def test_minor_versions_are_expanded() -> None:
    assert catalogue.expand("{major}.{minor} {version}", "1.36.3-rc.1") == "1.36 1.36.3-rc.1"


# The catalogue itself


@pytest.mark.parametrize("component", sorted(REAL))
def test_an_entry_is_complete(component: str) -> None:
    entry = REAL[component]
    assert entry["homepage"].startswith("https://") and entry["licence"] and entry["versions"]
    for name in catalogue.file_names(entry):
        definition = entry["files"][name]
        assert definition["url"].startswith("https://")
        assert ("binary" in definition) != ("members" in definition)
    for name in catalogue.image_names(entry):
        assert entry["images"][name]["reference"].count(":") == 1
        assert entry["images"][name].get("base", "network") in build.BASES


@pytest.mark.parametrize("component", sorted(name for name, entry in REAL.items() if "build" in entry))
def test_every_version_can_be_built_from_a_pinned_module(component: str) -> None:
    entry = REAL[component]
    for version in catalogue.versions(REAL, component):
        directory = ROLE / "files" / "build" / build.wrapper_path(entry, version)
        go_mod, go_sum = (directory / "go.mod").read_text(), (directory / "go.sum").read_text()
        recipe = build.recipe(entry, version, "amd64", build.Wrapper("", go_mod, go_sum))
        required = build.required_version(go_mod, recipe.module)
        assert f"{recipe.module} {required} h1:" in go_sum
        assert "=> ./" not in go_mod and "=> ../" not in go_mod
        built = set(recipe.programs.values())
        for definition in entry.get("files", {}).values():
            assert set(definition.get("members", {}).values()) | {definition.get("binary")} - {None} <= built
        for definition in entry.get("images", {}).values():
            assert set(definition["content"]) <= built


@pytest.mark.parametrize("component", sorted(name for name, entry in REAL.items() if "build" not in entry))
def test_what_comes_from_upstream_only_says_so_when_it_is_to_be_built(component: str) -> None:
    for version in catalogue.versions(REAL, component):
        with pytest.raises(ArtifactError, match="comes from upstream only"):
            build.wrapper_path(REAL[component], version)


@pytest.mark.parametrize("component", sorted(REAL))
def test_recorded_figures_are_figures(component: str) -> None:
    for listed in REAL[component]["versions"].values():
        for architectures in ((listed or {}).get("sha256") or {}).values():
            assert all(len(value) == 64 and int(value, 16) for value in (architectures or {}).values())
        for digest in ((listed or {}).get("digests") or {}).values():
            assert digest is None or (digest.startswith("sha256:") and len(digest) == 71)


def test_two_minor_versions_of_kubernetes_can_be_in_one_mirror() -> None:
    listed = catalogue.versions(REAL, "kubernetes")
    assert {"1.35.4", "1.36.3"} <= set(listed)
    assert {catalogue.expand("{major}.{minor}", version) for version in listed} >= {"1.35", "1.36"}
    entry = REAL["kubernetes"]
    for patterns in (
        [entry["files"][name]["url"] for name in catalogue.file_names(entry)],
        [entry["images"][name]["reference"] for name in catalogue.image_names(entry)],
    ):
        places = [catalogue.expand(pattern, version, "amd64") for pattern in patterns for version in listed]
        assert len(set(places)) == len(places) == len(patterns) * len(listed)


def test_the_actions_know_the_roles_defaults() -> None:
    import yaml

    assert yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()) == DEFAULTS
