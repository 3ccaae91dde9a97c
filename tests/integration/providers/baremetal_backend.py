# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of one's own: Redfish by sushy-tools' emulator, DNS by BIND, both with our middleware in front of them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dns.name
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.baremetal.strategy import Baremetal
from backend import Drifted, portable
from baremetal_site.controllers import USER, Controllers
from baremetal_site.name_server import KEY, NameServer
from traffic import Answer, Dialect, Environ, Request, Traffic

ZONE = "example.org"
VIP = "10.0.0.100"
# {name: (CPUs, GiB, GiB of its second disk)}: enough for two clusters with a worker more each, and large ones.
SERVERS = {
    **{f"small-{number}": (2, 4, 0) for number in range(1, 4)},
    **{f"middle-{number}": (2, 8, 200) for number in range(1, 6)},
    "large-1": (8, 32, 400),
    "large-2": (8, 32, 400),
}


def request(environ: Environ, body: bytes) -> Request:
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    return Request(f"{method} {path}", method not in ("GET", "HEAD", "QUERY"))


def error(status: str, text: str) -> Answer:
    body = {"error": {"code": "Base.1.0.GeneralError", "message": text}}
    return Answer(status, json.dumps(body).encode(), "application/json")


DIALECT = Dialect(
    request=request,
    throttled=lambda request: error("503 Service Unavailable", "busy"),
    conflict=lambda request: error("409 Conflict", "another task is running"),
    refused=lambda request: error("400 Bad Request", "refused by the test"),
)


class BaremetalBackend:
    # What claims say can be changed by who holds the key, and then it is so: nothing else tells it. The rest is in the
    # settings, and a record's name is what it is found by.
    fixed = frozenset(
        {f"machine.{name}" for name in ("pool", "roles", "image", "server", "size", "failure_domain", "installed")}
        | {"record.name"}
    )

    def __init__(self) -> None:
        self.traffic = Traffic(DIALECT)
        self.directory = Path(tempfile.mkdtemp(prefix="baremetal-"))
        self.controllers = Controllers(self.directory, list(SERVERS), self.traffic.around)
        self.names = NameServer(self.directory, ZONE, self.traffic.around)
        self.reset()

    def reset(self) -> None:
        self.traffic.calm()
        self.names.reset()
        self.controllers.reset()
        self.traffic.clear()

    def stop(self) -> None:
        self.controllers.stop()
        self.names.stop()
        shutil.rmtree(self.directory)

    def description(self, name: str = "demo", **changes: Any) -> dict[str, Any]:
        return portable(ZONE, name, grants=["bucket.write", "volume.attach"], **changes)

    def server(self, position: int, name: str) -> dict[str, Any]:
        cpu, memory, disk = SERVERS[name]
        return {
            "name": name,
            "bmc": self.controllers.url,
            "system": self.controllers.ids[name],
            "address": f"10.0.0.{11 + position}",
            "cpu": cpu,
            "memory_gib": memory,
            "failure_domain": f"rack-{1 + position % 2}",
            "disks": [{"name": "second", "size_gib": disk}] if disk else [],
        }

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "vip": VIP,
            "dns": {"server": "127.0.0.1", "port": self.names.port, "key": KEY},
            "bmc": {"username": USER, "ca_file": str(self.controllers.ca_file)},
            "servers": [self.server(position, name) for position, name in enumerate(SERVERS)],
            "secrets": self.secrets(),
            **changes,
        }

    def secrets(self) -> dict[str, Any]:
        return {"bmc_password": self.controllers.password, "tsig": self.names.secret}

    def strategy(self, description: dict[str, Any], **settings: Any) -> Baremetal:
        return Baremetal(spec_read.read(description), self.settings(**settings))

    def everything(self) -> frozenset[str]:
        records = {f"{name} {type}" for name, type in self.names.records()}
        return frozenset(records | {f"{name} is on" for name in SERVERS if self.controllers.is_on(name)})

    def drifts(self, engine: Any) -> Sequence[Drifted]:
        def elsewhere() -> None:
            update = self.names.message()
            update.replace(dns.name.from_text(f"api.demo.{ZONE}"), 60, "A", "198.51.100.66")
            self.names.update(update)

        worker = engine.world["machine/worker-1"].id
        return [
            Drifted("machine/worker-1", "running", lambda: self.controllers.set_power(worker, False)),
            Drifted("record/api", "values", elsewhere),
        ]
