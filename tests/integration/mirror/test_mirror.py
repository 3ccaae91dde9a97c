# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a mirror and taking files and images from it.

The file server, the registry and containerd are real, all over TLS.

What is built here is small, and comes from the build cache where the mirror was filled before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import index
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from mirror_site import CACHE, ROLE, Run, Site, file_server, play, process

COMPONENTS = [{"name": "pause", "versions": ["3.10.1"]}, {"name": "cni-plugins", "versions": ["1.9.1"]}]
CONTAINERD = [{"name": "containerd", "versions": ["2.4.2"]}]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="images are built, and programs installed, as root"),
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="wants docker-registry: run scripts/setup"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), free_port(), free_port())
    filled = site.fill(COMPONENTS)
    assert filled.code == 0, filled.output
    assert filled.changed == ["fill", "index", "certificate"]
    with file_server(site.data / "files", site.directory / "tls", site.port):
        yield site


@pytest.fixture
def tampered(site: Site) -> Iterator[Path]:
    """One byte of an archive is another, its size is not."""
    original = site.archive.read_bytes()
    site.archive.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    yield site.archive
    site.archive.write_bytes(original)


def test_a_second_fill_changes_nothing(site: Site) -> None:
    again = site.fill(COMPONENTS)
    assert again.code == 0 and again.changed == [], again.output


def test_everything_in_the_mirror_has_its_digest(site: Site) -> None:
    from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.archive import sha256_of

    for file in site.index["files"]:
        path = site.data / "files" / file["path"]
        assert (sha256_of(path), path.stat().st_size) == (file["sha256"], file["size"])
    for image in site.index["images"]:
        manifest = site.data / "registry" / index.blob(image["digest"])
        assert "sha256:" + sha256_of(manifest) == image["digest"]
    bill = json.loads((site.data / "sbom.cdx.json").read_text())
    assert {"cni-plugins", "pause"} <= {component["name"] for component in bill["components"]}
    assert (site.directory / "tls" / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_fill_finds_what_was_tampered_with_when_asked_to_look_closely(site: Site, tampered: Path) -> None:
    where = {"catalogue_dir": str(ROLE / "catalogue"), "build_dir": str(ROLE / "build"), "data_dir": str(site.data)}
    task = {
        "name": "lacks",
        "caravan.cluster.mirror_info": {"components": COMPONENTS, "cache_dir": str(CACHE), "verify": True, **where},
    }
    found = play(site.directory, [task], {})
    assert [entry["name"] for entry in found.results["lacks"]["missing"]] == ["cni-plugins"]


def test_a_host_installs_from_the_mirror_once(site: Site) -> None:
    expected = site.install("--check", "--diff")
    assert expected.changed == ["install"] and not (site.directory / "host").exists()
    first = site.install()
    assert first.code == 0, first.output
    bridge = site.directory / "host" / "bridge"
    assert bridge.stat().st_mode & 0o7777 == 0o755
    assert len(list((site.directory / "host" / "all").iterdir())) == 18
    assert site.install().changed == []
    bridge.write_bytes(b"changed on the host")
    repaired = site.install("--diff")
    assert repaired.results["install"]["changed_paths"] == [str(bridge)]
    assert "changed on the host" in repaired.results["install"]["diff"]["before"]
    assert site.install("--check").changed == []


def test_a_tampered_file_is_refused_by_name(site: Site, tampered: Path) -> None:
    wanted = next(file["sha256"] for file in site.index["files"] if file["name"] == "cni-plugins")
    shutil.rmtree(site.directory / "host", ignore_errors=True)
    refused = site.install()
    message = refused.results["install"]["msg"]
    assert refused.code != 0
    assert message.startswith("cni-plugins 1.9.1 from https://localhost") and "is refused" in message
    assert wanted in message and message.count("sha256") == 1
    assert not (site.directory / "host" / "bridge").exists()
    assert list((site.directory / "host" / "state").glob(".fetch-*")) == []


def test_a_mirror_with_another_certificate_is_refused(site: Site, tmp_path: Path) -> None:
    task = {"name": "own", "caravan.cluster.mirror_certificate": {"path": str(tmp_path), "names": ["localhost"]}}
    play(tmp_path, [task], {})
    shutil.rmtree(site.directory / "host", ignore_errors=True)
    refused = site.install(artifacts_mirror_ca=str(tmp_path / "ca.crt"))
    assert refused.code != 0 and "CERTIFICATE_VERIFY_FAILED" in refused.results["install"]["msg"]


def test_upstream_is_taken_from_a_server_that_is_laid_out_as_upstream(site: Site) -> None:
    shutil.rmtree(site.directory / "host", ignore_errors=True)
    upstream = {
        "artifacts_source": "upstream",
        "artifacts_upstream_url_prefix": f"https://localhost:{site.port}",
        "artifacts_index_override": str(site.data / "index.json"),
    }
    first = site.install(**upstream)
    assert first.code == 0 and first.changed == ["install"], first.output
    assert site.install(**upstream).changed == []
    # What is served is not what upstream built: its own figures refuse it.
    shutil.rmtree(site.directory / "host")
    refused = site.install(**{**upstream, "artifacts_index_override": ""})
    assert refused.code != 0 and "is refused" in refused.results["install"]["msg"]


def test_what_has_no_recorded_sha256_is_not_taken_from_upstream(site: Site) -> None:
    task = {
        "name": "install",
        "caravan.cluster.artifacts": {"install": [{"name": "runc", "version": "1.3.4", "dest": "/nonexistent/runc"}]},
    }
    refused = play(site.directory, [task], {"artifacts_source": "upstream"})
    assert "roles/artifacts/files/catalogue/runc.yml" in refused.results["install"]["msg"]


def test_a_mirror_is_filled_by_download(site: Site, tmp_path: Path) -> None:
    """From the first mirror, which stands in upstream's place, with its figures as the recorded ones."""
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    entry = yaml.safe_load((ROLE / "catalogue" / "cni-plugins.yml").read_text())
    (built,) = (file["sha256"] for file in site.index["files"] if file["name"] == "cni-plugins")
    entry["versions"]["1.9.1"]["sha256"]["cni-plugins"]["amd64"] = built
    (catalogue / "cni-plugins.yml").write_text(yaml.safe_dump(entry))
    other = Site(tmp_path, site.port, site.registry_port)
    where = {
        "catalogue_dir": str(catalogue),
        "fill": "download",
        "upstream_url_prefix": f"https://localhost:{site.port}",
        "upstream_ca": str(site.directory / "tls" / "ca.crt"),
    }
    first = other.fill(COMPONENTS[1:], **where)
    assert first.code == 0 and "fill" in first.changed, first.output
    assert other.index["files"][0]["sha256"] == built
    assert other.fill(COMPONENTS[1:], **where).changed == []
    entry["versions"]["1.9.1"]["sha256"]["cni-plugins"]["amd64"] = "0" * 64
    (catalogue / "cni-plugins.yml").write_text(yaml.safe_dump(entry))
    refused = other.fill(COMPONENTS[1:], **where)
    assert refused.code != 0 and "cni-plugins 1.9.1" in refused.output and built in refused.output


def test_two_minor_versions_of_kubernetes_live_side_by_side(site: Site, tmp_path: Path) -> None:
    """By the catalogue's own entry for the programs, with small files in their places: to build both takes long."""
    entry = yaml.safe_load((ROLE / "catalogue" / "kubernetes.yml").read_text())
    entry["images"] = {}
    upstream, minors = tmp_path / "upstream", ["1.35.4", "1.36.3"]
    for version in minors:
        for name, definition in entry["files"].items():
            content = f"{name} {version}".encode()
            path = upstream / index.file_path(definition["url"].format(version=version, architecture="amd64"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            entry["versions"][version]["sha256"][name] = {"amd64": hashlib.sha256(content).hexdigest()}
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "kubernetes.yml").write_text(yaml.safe_dump(entry))
    port = free_port()
    other = Site(tmp_path, port, 0)
    where = {
        "catalogue_dir": str(tmp_path / "catalogue"),
        "fill": "download",
        "upstream_url_prefix": f"https://localhost:{port}",
        "upstream_ca": str(site.directory / "tls" / "ca.crt"),
    }
    with file_server(upstream, site.directory / "tls", port):
        for number, version in enumerate(minors, start=1):
            filled = other.fill([{"name": "kubernetes", "versions": [version]}], **where)
            assert filled.code == 0, filled.output
            assert len(other.index["files"]) == number * len(entry["files"])
        assert other.fill([{"name": "kubernetes", "versions": minors}], **where).changed == []
    found = {(file["name"], file["version"]): file for file in other.index["files"]}
    assert set(found) == {(name, version) for name in entry["files"] for version in minors}
    for (name, version), file in found.items():
        assert (other.data / "files" / file["path"]).read_text() == f"{name} {version}"
        assert f"/v{version}/" in file["path"]


# Images


@pytest.fixture(scope="module")
def containerd(site: Site) -> Iterator[dict[str, str]]:
    """containerd on this machine, apart from any other, with the mirror as its only registry."""
    programs = site.directory / "programs"
    tools = Site(site.directory / "tools", 0, 0)
    tools.directory.mkdir()
    assert tools.fill(CONTAINERD).code == 0
    (archive,) = (tools.data / "files" / file["path"] for file in tools.index["files"])
    programs.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(programs), "--strip-components=1"], check=True)
    hosts = site.directory / "certs.d" / "registry.k8s.io"
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(
        f'server = "https://localhost:{site.registry_port}/v2/registry.k8s.io"\n'
        'capabilities = ["pull", "resolve"]\noverride_path = true\n'
        f'ca = "{site.directory / "tls" / "ca.crt"}"\n'
    )
    (site.directory / "registry.yml").write_text(
        yaml.safe_dump(
            {
                "version": 0.1,
                "storage": {
                    "filesystem": {"rootdirectory": str(site.data / "registry")},
                    "maintenance": {"readonly": {"enabled": True}, "uploadpurging": {"enabled": False}},
                },
                "http": {
                    "addr": f"127.0.0.1:{site.registry_port}",
                    "tls": {
                        "certificate": str(site.directory / "tls" / "server.crt"),
                        "key": str(site.directory / "tls" / "server.key"),
                        "minimumtls": "tls1.2",
                    },
                },
            }
        )
    )
    address = site.directory / "containerd.sock"
    (site.directory / "containerd.toml").write_text(
        f'version = 3\nroot = "{site.directory}/root"\nstate = "{site.directory}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"]\n'
        f'[grpc]\naddress = "{address}"\n'
    )
    registry = ["docker-registry", "serve", str(site.directory / "registry.yml")]
    daemon = [str(programs / "containerd"), "--config", str(site.directory / "containerd.toml")]
    with (
        process(registry, site.registry_port, site.directory / "registry.log"),
        process(daemon, address, site.directory / "containerd.log"),
    ):
        yield {"PATH": f"{programs}:{os.environ['PATH']}", "CONTAINERD_ADDRESS": str(address)}


def pull(site: Site, environment: dict[str, str], *arguments: str, version: str = "3.10.1") -> Run:
    task = {
        "name": "pull",
        "caravan.cluster.images": {
            "images": [{"name": "pause", "version": version}],
            "hosts_directory": str(site.directory / "certs.d"),
        },
        "environment": environment,
    }
    return play(site.directory, [task], site.variables(), *arguments)


def forget(environment: dict[str, str]) -> None:
    """Remove the image and all of its content."""
    ctr = [shutil.which("ctr", path=environment["PATH"]) or "", "--namespace", "k8s.io"]
    everything = {**os.environ, **environment}
    listed = subprocess.run([*ctr, "images", "ls", "-q"], env=everything, capture_output=True, text=True, check=True)
    if listed.stdout.split():
        subprocess.run([*ctr, "images", "rm", "--sync", *listed.stdout.split()], env=everything, check=True)


def test_an_image_is_pulled_by_digest_once(site: Site, containerd: dict[str, str]) -> None:
    assert pull(site, containerd, "--check").changed == ["pull"]
    first = pull(site, containerd)
    assert first.code == 0, first.output
    assert first.results["pull"]["pulled"] == ["registry.k8s.io/pause:3.10.1"]
    again = pull(site, containerd)
    assert again.changed == [] and again.results["pull"]["pulled"] == []
    assert pull(site, containerd, "--check").changed == []


def test_two_versions_of_an_image_live_side_by_side(site: Site, containerd: dict[str, str]) -> None:
    """Each from the sources of another minor version of Kubernetes."""
    filled = site.fill([{"name": "pause", "versions": ["3.10.2"]}])
    assert filled.code == 0 and filled.changed == ["fill", "index"], filled.output
    assert [(image["name"], image["version"]) for image in site.index["images"]] == [
        ("pause", "3.10.1"),
        ("pause", "3.10.2"),
    ]
    # The first is still whole.
    assert site.fill(COMPONENTS).changed == []
    forget(containerd)
    for version in ("3.10.1", "3.10.2"):
        assert pull(site, containerd, version=version).results["pull"]["pulled"] == [f"registry.k8s.io/pause:{version}"]


@pytest.mark.parametrize("what", ["manifest", "layer"])
def test_a_tampered_image_is_refused_by_name(site: Site, containerd: dict[str, str], what: str) -> None:
    # containerd collects nothing before it has had any content.
    pull(site, containerd)
    forget(containerd)
    image = next(image for image in site.index["images"] if image["version"] == "3.10.1")
    storage = site.data / "registry"
    manifest = storage / index.blob(image["digest"])
    layer = storage / index.blob(json.loads(manifest.read_text())["layers"][0]["digest"])
    path = manifest if what == "manifest" else layer
    original = path.read_bytes()
    try:
        path.write_bytes(original[:-20] + bytes([original[-20] ^ 1]) + original[-19:])
        refused = pull(site, containerd)
    finally:
        path.write_bytes(original)
    message = refused.results["pull"]["msg"]
    assert refused.code != 0
    assert message.startswith(f"the image registry.k8s.io/pause:3.10.1 ({image['digest']}) cannot be pulled")
    again = pull(site, containerd)
    assert again.changed == ["pull"], again.output
