# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Management controllers: sushy-tools' emulator with its fake driver, in this process and over TLS."""

from __future__ import annotations

import datetime
import importlib
import logging
import secrets
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import tls
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import fakedriver
from traffic import Application
from werkzeug.serving import WSGIRequestHandler, make_server

USER = "caravan"
# Between an order and the power's change: the driver's own one to eleven seconds would be most of a test's time.
DELAY = 0.1


class Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any) -> None:
        pass


class Driver(fakedriver.FakeDriver):
    def set_power_state(self, identity: str, state: str) -> None:
        super().set_power_state(identity, state)
        system = self._get(identity)
        if system.get("pending_power"):
            self._update(system, pending_power={**system["pending_power"], "apply_time": time.time() + DELAY})


class Controllers:
    """One address for all systems, as in a blade chassis. ids: by the server's name. `around` wraps the application."""

    def __init__(self, directory: Path, servers: list[str], around: Callable[[Application], Application]) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.directory = directory
        self.password = secrets.token_urlsafe(16)
        self.ids = {name: str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in servers}
        users = directory / "users"
        users.touch(mode=0o600)
        # The fewest rounds: each request has its password hashed.
        users.write_text(f"{USER}:{bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4)).decode()}\n")
        fakedriver.FakeDriver = Driver
        # Its application is the module's, and holds on to the first directory it was given.
        self.app = importlib.reload(emulator).app
        self.app.configure(
            extra_config={
                "SUSHY_EMULATOR_FAKE_DRIVER": True,
                "SUSHY_EMULATOR_FAKE_SYSTEMS": [
                    {"uuid": id, "name": name, "power_state": "Off", "external_notifier": False, "nics": []}
                    for name, id in self.ids.items()
                ],
                "SUSHY_EMULATOR_STATE_DIR": str(directory / "state"),
                "SUSHY_EMULATOR_AUTH_FILE": str(users),
            }
        )
        self.driver = self.app.systems
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificates())
        application = around(self.app)
        self.server = make_server(
            "127.0.0.1", free_port(), application, True, request_handler=Quiet, ssl_context=context
        )
        self.url = f"https://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def _certificates(self) -> tuple[Path, Path]:
        now = datetime.datetime.now(datetime.timezone.utc)
        ca_key, _pem = tls.new_key()
        key, key_pem = tls.new_key()
        ca = tls.authority(ca_key, "Controllers of the tests", now)
        certificate, secret = self.directory / "server.crt", self.directory / "server.key"
        self.ca_file = self.directory / "ca.crt"
        self.ca_file.write_bytes(ca)
        certificate.write_bytes(tls.server(ca, ca_key, key, ["localhost", "127.0.0.1"], now))
        secret.touch(mode=0o600)
        secret.write_bytes(key_pem)
        return certificate, secret

    def is_on(self, server: str) -> bool:
        return bool(self.driver.get_power_state(self.ids[server]) == "On")

    def boots_from(self, server: str) -> str:
        return str(self.driver.get_boot_device(self.ids[server]))

    def image_of(self, server: str) -> str:
        """The URL of what is in its virtual drive."""
        return str(self.app.vmedia.get_device_image_info(self.ids[server], "Cd").image_url or "")

    def set_power(self, server: str, on: bool) -> None:
        """By somebody who stands before it."""
        self.driver._update(self.ids[server], power_state="On" if on else "Off", pending_power=None)

    def forget_medium(self, server: str) -> None:
        """As a server does once it has started from it; the emulator's do not."""
        self.driver._update(self.ids[server], boot_device="Hdd")

    def reset(self) -> None:
        for server in self.ids:
            self.set_power(server, False)
            self.forget_medium(server)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
