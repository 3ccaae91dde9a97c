# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site with servers of its own: their controllers by sushy-tools, its name server, and what installs them.

A server that starts from the network is installed anew; one that starts from its disk has what it had.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from baremetal_site.controllers import USER, Controllers
from baremetal_site.name_server import KEY, NameServer

from . import site
from .model import Application, Instance, World

# The user that the installation makes.
INSTALLED_USER = "debian"
# {name: (CPUs, GiB, GiB of its second disk)}: the cluster's own, and one for a worker more.
SERVERS = {"r1u10": (2, 8, 0), "r1u20": (4, 16, 200), "r2u20": (4, 16, 200)}
FIRST = 11  # where their addresses begin in the network


class Baremetal:
    application = None
    tls = True

    def __init__(self, cidr: str, authorized_keys: Sequence[str], around: Callable[[Application], Application]) -> None:
        network = ipaddress.ip_network(cidr)
        self.addresses = {name: str(network[FIRST + number]) for number, name in enumerate(SERVERS)}
        self.authorized_keys = authorized_keys
        self.host_keys = {name: site.new_host_key() for name in SERVERS}
        # By server. What one has been installed with before is gone.
        self.installed: dict[str, Instance] = {}
        self.count = 0
        self.directory = Path(tempfile.mkdtemp(prefix="baremetal-"))
        self.controllers = Controllers(self.directory, list(SERVERS), around)
        self.names = NameServer(self.directory, site.ZONE, around)

    def prepare(self) -> None:
        pass

    def stop(self) -> None:
        self.controllers.stop()
        self.names.stop()
        shutil.rmtree(self.directory)

    def files(self) -> dict[str, str]:
        settings = {
            "dns": {"server": "127.0.0.1", "port": self.names.port, "key": KEY},
            "bmc": {"username": USER, "ca_file": str(self.controllers.ca_file)},
            "boot": {"method": "pxe"},
            "servers": [self._server(name) for name in SERVERS],
        }
        secrets = {"bmc_password": self.controllers.password, "tsig": self.names.secret}
        known = [f"{self.addresses[name]} {key.public}\n" for name, key in self.host_keys.items()]
        return {
            "settings.json": json.dumps(settings),
            "secrets.json": json.dumps(secrets),
            "known_hosts": "".join(known),
        }

    def _server(self, name: str) -> dict[str, Any]:
        cpu, memory, disk = SERVERS[name]
        return {
            "name": name,
            "bmc": self.controllers.url,
            "system": self.controllers.ids[name],
            "address": self.addresses[name],
            "cpu": cpu,
            "memory_gib": memory,
            "failure_domain": f"rack{name[1]}",
            "disks": [{"name": "data", "size_gib": disk}] if disk else [],
        }

    def world(self) -> World:
        records = self.names.records()
        return World(tuple(self._instances(site.claimed(records))), names=site.addresses(records))

    def _instances(self, machines: Mapping[str, str]) -> Iterator[Instance]:
        for name, address in self.addresses.items():
            on = self.controllers.is_on(name)
            if on and self.controllers.boots_from(name) == "Pxe":
                text = site.seed(machines.get(name, name), self.authorized_keys, self.host_keys[name])
                self.count += 1
                self.installed[name] = Instance(f"{name}-{self.count}", address, INSTALLED_USER, text)
                self.controllers.forget_medium(name)
            if name in self.installed:
                yield replace(self.installed[name], running=on)
