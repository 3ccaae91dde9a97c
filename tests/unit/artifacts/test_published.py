# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What upstream publishes of its files and images, and the command that records it."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import published
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.edges import read_catalogue
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.errors import ArtifactError

REPOSITORY = Path(__file__).resolve().parents[3]
REAL = REPOSITORY / "roles" / "artifacts" / "files" / "catalogue"
A, B, C = "a" * 64, "b" * 64, "c" * 64

ENTRY = """\
---
component: tool
files:
  tool:
    url: "https://example.org/v{version}/tool-{architecture}.tgz"
    checksum: "{url}.sha256"   # a comment that stays
    members: {tool: tool}
versions:
  1.2.0:
    sha256: {tool: null}
  1.1.0:
    sha256:
      tool:
        amd64: AAA
        arm64: BBB
""".replace("AAA", A).replace("BBB", B)


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n",
        f"{A}  tool-amd64.tgz\n",
        f"{B}  other.tgz\n{A} *./tool-amd64.tgz\n{C}  tool-arm64.tgz\n",
        A.upper(),
    ],
)
def test_the_sha256_of_a_file_is_found(text: str) -> None:
    assert published.find_sha256(text, "tool-amd64.tgz") == A


@pytest.mark.parametrize("text", ["", "Not Found\n", f"{A}  other.tgz\n", f"{A}\n{B}\n", f"{A[:-1]}  tool-amd64.tgz"])
def test_anything_else_is_no_sha256(text: str) -> None:
    with pytest.raises(ArtifactError, match=r"no sha256 of tool-amd64\.tgz"):
        published.find_sha256(text, "tool-amd64.tgz")


@pytest.mark.parametrize("component", ["kubernetes", "etcd", "containerd", "runc", "cni-plugins", "crictl"])
def test_the_catalogue_says_where_the_checksums_of_a_node_s_programs_are_published(component: str) -> None:
    for definition in read_catalogue(REAL)[component]["files"].values():
        assert definition["checksum"].startswith(("{url}", "https://"))


def test_a_recorded_digest_is_compared_with_the_registry_s_manifest() -> None:
    figure = published.Figure("x", ("1", "digests", "x"), published.digest_of(b"manifest"), "registry.example.org/x:v1")
    assert published.compare(figure, lambda _url: "", lambda _reference: b"manifest").verdict == "recorded"
    finding = published.compare(figure, lambda _url: "", lambda _reference: b"another")
    assert finding.verdict == "differs" and "registry.example.org/x:v1" in finding.detail


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server that is laid out as upstream, and its directory."""
    root = tmp_path / "upstream"
    root.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", root
        server.shutdown()


def pin(directory: Path, address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "scripts/pin"),
            f"--catalogue={directory}",
            f"--through={address}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def publish(root: Path, version: str, architecture: str, figure: str) -> None:
    path = root / "example.org" / f"v{version}" / f"tool-{architecture}.tgz.sha256"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{figure}  tool-{architecture}.tgz\n")


def test_what_is_missing_is_recorded_and_the_rest_stays_as_it_is(tmp_path: Path, upstream: tuple[str, Path]) -> None:
    address, root = upstream
    directory = tmp_path / "catalogue"
    directory.mkdir()
    (directory / "tool.yml").write_text(ENTRY)
    for version, architecture, figure in (
        ("1.2.0", "amd64", C),
        ("1.2.0", "arm64", A),
        ("1.1.0", "amd64", A),
        ("1.1.0", "arm64", B),
    ):
        publish(root, version, architecture, figure)

    checked = pin(directory, address, "--check")
    assert checked.returncode == 0 and (directory / "tool.yml").read_text() == ENTRY
    done = pin(directory, address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 recorded, 2 new, 0 differs, 0 unknown" in done.stdout
    text = (directory / "tool.yml").read_text()
    assert yaml.safe_load(text)["versions"]["1.2.0"]["sha256"]["tool"] == {"amd64": C, "arm64": A}
    assert "# a comment that stays" in text
    assert "4 recorded, 0 new" in pin(directory, address).stdout
    assert (directory / "tool.yml").read_text() == text


def test_a_recorded_figure_is_never_replaced(tmp_path: Path, upstream: tuple[str, Path]) -> None:
    address, root = upstream
    directory = tmp_path / "catalogue"
    directory.mkdir()
    (directory / "tool.yml").write_text(ENTRY)
    publish(root, "1.1.0", "amd64", C)

    done = pin(directory, address)
    assert done.returncode == 1
    assert f"recorded {A}, published {C}" in done.stdout
    assert done.stdout.count("unknown   tool") == 3
    assert (directory / "tool.yml").read_text() == ENTRY
