# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local machines by podman itself. The middleware stands before its commands in place of an API."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._podman.client import Podman, PodmanError
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.local.settings import CONTAINERS_CONF
from ansible_collections.caravan.cluster.plugins.module_utils._providers.local.strategy import Local
from backend import Drifted, portable
from traffic import Answer, Dialect, Environ, Request, Traffic

ZONE = "caravan.test"
# A twin on the same controller needs addresses of its own.
CIDR, TWIN = "10.98.60.0/24", "10.98.61.0/24"
NAME = "contract"
LISTS = {"ps": ("ps", "--all"), "volume": ("volume", "ls"), "network": ("network", "ls")}
LISTING = frozenset({"ps", "volume ls", "network ls"})
READING = LISTING | frozenset({"inspect", "version", "network inspect", "image ls"})


def request(environ: Environ, body: bytes) -> Request:
    name = environ["PATH_INFO"]
    return Request(name, name not in READING, name in LISTING)


DIALECT = Dialect(
    request=request,
    throttled=lambda request: Answer("503", b"resource temporarily unavailable"),
    conflict=lambda request: Answer("409", b"the container is in use by another process"),
    refused=lambda request: Answer("400", b"refused by the test"),
)


class Watched(Podman):
    """Every command as a request: what it says is the answer, and an answer other than 200 is an error."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(str(CONTAINERS_CONF))
        self.application = traffic.around(self._command)

    def run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        words = arguments[:2] if arguments[0] in ("volume", "network", "image") else arguments[:1]
        environ = {
            "PATH_INFO": " ".join(words),
            "QUERY_STRING": " ".join(arguments),
            "wsgi.input": io.BytesIO(),
            "command": (arguments, stdin),
        }
        told: list[Any] = []
        body = b"".join(self.application(environ, lambda *own: told.extend(own)))
        if told[0].startswith("200"):
            return body
        raise PodmanError(body.decode())

    def json(self, *arguments: str) -> list:
        return json.loads(self.run(*arguments) or b"[]") or []

    def _command(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        arguments, stdin = environ["command"]
        try:
            body = super().run(*arguments, stdin=stdin)
        except PodmanError as error:
            start_response("422 Unprocessable", [])
            return [str(error).encode()]
        start_response("200 OK", [])
        return [body]


class LocalBackend:
    # podman changes nothing of what is made, but what runs; and the rest is what things are found by.
    fixed = frozenset(
        {"network.cidr", "network.internal", "volume.driver"}
        | {f"machine.{name}" for name in ("pool", "roles", "image", "size", "failure_domain")}
        | {f"machine.{name}" for name in ("network", "address", "disks")}
    )

    def __init__(self) -> None:
        self.traffic = Traffic(DIALECT)
        self.podman = Podman(str(CONTAINERS_CONF))
        self.watched = Watched(self.traffic)
        self.directory = Path(tempfile.mkdtemp(prefix="local-"))
        self.reset()

    def reset(self) -> None:
        self.traffic.calm()
        self._remove()
        self.podman.run("volume", "create", f"{NAME}-foreign")
        self.traffic.clear()

    def _remove(self) -> None:
        found = {kind: self._names(kind) for kind in LISTS}
        if found["ps"]:
            self.podman.run("rm", "--force", "--time=0", "--volumes", *found["ps"])
        for kind in ("volume", "network"):
            if found[kind]:
                self.podman.run(kind, "rm", *found[kind])

    def stop(self) -> None:
        self._remove()
        shutil.rmtree(self.directory)

    def description(self, name: str = NAME, **changes: Any) -> dict[str, Any]:
        network = {"network": {"cidr": CIDR, "egress": "none"}}
        return portable(ZONE, name, grants=["volume.attach"], **{**network, **changes})

    def twin(self) -> dict[str, Any]:
        host = {"host": f"api.twin.{NAME}.{ZONE}"}
        return self.description(endpoint=host, network={"cidr": TWIN, "egress": "none"})

    def settings(self, **changes: Any) -> dict[str, Any]:
        # Nobody logs in here: what boots is not waited for.
        return {"ssh_directory": str(self.directory / "ssh"), "boot_timeout": 0, **changes}

    def strategy(self, description: dict[str, Any], **settings: Any) -> Local:
        strategy = Local(spec_read.read(description), self.settings(**settings))
        strategy.api.podman = self.watched
        return strategy

    def _names(self, kind: str) -> list[str]:
        """Of all that this cluster, its twins and the test itself have: others work on this machine too."""
        listed = self.podman.json(*LISTS[kind], "--format=json")
        names = [entry["Names"][0] if kind == "ps" else entry.get("name") or entry["Name"] for entry in listed]
        return sorted(name for name in names if name.startswith(f"{NAME}-"))

    def everything(self) -> frozenset[str]:
        return frozenset(f"{kind} {name}" for kind in LISTS for name in self._names(kind))

    def drifts(self, engine: Any) -> Sequence[Drifted]:
        worker = engine.world["machine/worker-1"].id
        return [Drifted("machine/worker-1", "running", lambda: self.podman.run("stop", "--time=0", worker))]
