# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror in a directory, how it is filled and used by plays on this machine, and the servers around it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
ROLE = REPOSITORY / "roles" / "artifacts" / "files"
CACHE = REPOSITORY / ".caravan" / "cache" / "build"
BIN = Path(sys.executable).parent


@dataclass
class Run:
    """One ansible-playbook run on this machine."""

    code: int
    output: str
    results: dict[str, dict[str, Any]]

    @property
    def changed(self) -> list[str]:
        return [name for name, result in self.results.items() if result.get("changed")]


def play(directory: Path, tasks: list[dict[str, Any]], variables: dict[str, Any], *arguments: str) -> Run:
    book = directory / "play.yml"
    book.write_text(
        yaml.safe_dump(
            [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}]
        )
    )
    configuration = directory / "ansible.cfg"
    collections = REPOSITORY / ".caravan" / "collections"
    configuration.write_text(f"[defaults]\ncollections_path = {collections}\nstdout_callback = ansible.posix.json\n")
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), str(book), *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(configuration)},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        shown = json.loads(done.stdout[done.stdout.index("{") :])
    except ValueError:
        raise AssertionError(done.stdout + done.stderr) from None
    results = {
        task["task"]["name"]: task["hosts"]["localhost"]
        for play_ in shown["plays"]
        for task in play_["tasks"]
        if "localhost" in task["hosts"]
    }
    return Run(done.returncode, done.stdout + done.stderr, results)


@dataclass
class Site:
    directory: Path
    port: int
    registry_port: int

    @property
    def data(self) -> Path:
        return self.directory / "mirror"

    @property
    def index(self) -> dict[str, Any]:
        return dict(json.loads((self.data / "index.json").read_text()))

    def variables(self, **changes: Any) -> dict[str, Any]:
        return {
            "artifacts_source": "mirror",
            "artifacts_mirror_url": f"https://localhost:{self.port}",
            "artifacts_registry": f"localhost:{self.registry_port}",
            "artifacts_mirror_ca": str(self.directory / "tls" / "ca.crt"),
            "artifacts_mirror_index": str(self.data / "index.json"),
            **changes,
        }

    def fill(self, components: list[dict[str, Any]], *arguments: str, **changes: Any) -> Run:
        """As the role does it, without the role's own variables."""
        where = {
            "catalogue_dir": str(ROLE / "catalogue"),
            "build_dir": str(ROLE / "build"),
            "data_dir": str(self.data),
            "cache_dir": str(CACHE),
            **changes,
        }
        tasks = [
            {"name": "lacks", "caravan.cluster.mirror_info": {"components": components, **where}, "register": "lacks"},
            {
                "name": "fill",
                "caravan.cluster.mirror_component": {
                    "name": "{{ item.name }}",
                    "version": "{{ item.version }}",
                    "architecture": "{{ item.architecture }}",
                    **where,
                },
                "loop": "{{ lacks.missing }}",
            },
            {"name": "index", "caravan.cluster.mirror_index": {"data_dir": where["data_dir"]}},
            {
                "name": "certificate",
                "caravan.cluster.mirror_certificate": {
                    "path": str(self.directory / "tls"),
                    "names": ["localhost", "127.0.0.1"],
                },
            },
        ]
        return play(self.directory, tasks, {}, *arguments)

    def install(self, *arguments: str, **changes: Any) -> Run:
        task = {
            "name": "install",
            "caravan.cluster.artifacts": {
                "install": [
                    {
                        "name": "cni-plugins",
                        "version": "1.9.1",
                        "members": {"bridge": f"{self.directory}/host/bridge", "*": f"{self.directory}/host/all/"},
                    }
                ],
                "state_dir": str(self.directory / "host" / "state"),
            },
        }
        return play(self.directory, [task], self.variables(**changes), *arguments)

    @property
    def archive(self) -> Path:
        return self.data / "files" / next(f["path"] for f in self.index["files"] if f["name"] == "cni-plugins")


@contextlib.contextmanager
def file_server(root: Path, tls: Path, port: int) -> Iterator[None]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "server.crt", tls / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def process(command: list[str], ready: int | Path, log: Path, **environment: str) -> Iterator[None]:
    """A program in the background until a port or a socket answers, and until the block ends."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        end = time.monotonic() + 30
        while True:
            kind = socket.AF_INET if isinstance(ready, int) else socket.AF_UNIX
            with socket.socket(kind) as probe:
                if probe.connect_ex(("127.0.0.1", ready) if isinstance(ready, int) else str(ready)) == 0:
                    break
            assert running.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.05)
        yield
    finally:
        running.terminate()
        running.wait(20)
