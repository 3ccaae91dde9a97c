# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process: the API in threads, and one loop that follows what the API holds."""

from __future__ import annotations

import argparse
import datetime
import functools
import ipaddress
import os
import signal
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import tls
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from ansible_collections.caravan.cluster.plugins.module_utils._podman import nodes
from ansible_collections.caravan.cluster.plugins.module_utils._podman.client import Podman
from werkzeug.serving import WSGIRequestHandler, make_server

from . import nameserver
from .__main__ import PID
from .containers import Containers
from .model import FOLLOWING, Application, Environ, Provider

# A run sends many requests: one look after so many seconds of silence, and one now and then in any case.
QUIET, EVERY = 0.3, 10.0


class Handler(WSGIRequestHandler):
    """Connections stay, and requests are not logged."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *arguments: Any) -> None:
        pass


def serve(options: argparse.Namespace) -> None:
    podman = Podman(os.environ["CONTAINERS_CONF"])
    image = _image(podman, options.inventory)
    place = nodes.Desired(options.inventory, options.project, options.cidr, image, ())
    controller = str(ipaddress.ip_interface(nodes.controller_address(options.cidr)).ip)
    names = nameserver.Names(dict(pair.split("=", 1) for pair in options.name))
    nameserver.serve(names, controller)
    containers = Containers(podman, place, controller)

    port = free_port()
    asked, ended = threading.Event(), threading.Event()
    telling = functools.partial(_telling, asked=asked)
    provider = _provider(options, port, containers, telling)
    if provider.application:
        context = _tls(options.directory) if provider.tls else None
        application = telling(provider.application)
        server = make_server("127.0.0.1", port, application, True, request_handler=Handler, ssl_context=context)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    provider.prepare()
    for name, text in provider.files().items():
        _write(options.directory / name, text)

    def end(number: int, frame: object) -> None:
        ended.set()
        asked.set()

    signal.signal(signal.SIGTERM, end)
    _write(options.directory / PID, str(os.getpid()))
    while not ended.is_set():
        _follow(provider, containers, names)
        asked.wait(EVERY)
        # All at once, when the run's requests have come to rest; a run that waits for consoles asks more slowly.
        ended.wait(QUIET)
        asked.clear()
    provider.stop()
    containers.remove_all()


def _image(podman: Podman, inventory: str) -> str:
    """That of the machines which are there already: the mirror."""
    found = podman.json("ps", "--format=json", f"--filter=label={nodes.INVENTORY_LABEL}={inventory}")
    return str(found[0]["Image"])


def _provider(
    options: argparse.Namespace, port: int, containers: Containers, telling: Callable[[Application], Application]
) -> Provider:
    """Each has packages of its own."""
    if options.provider == "aws":
        from .aws import Aws

        return Aws(f"http://127.0.0.1:{port}", containers.console)
    if options.provider == "azure":
        from .azure import Azure

        secret = os.environ["AZURE_CLIENT_SECRET"]
        return Azure(f"https://localhost:{port}", containers.console, options.directory, secret)
    if options.provider == "openstack":
        from .openstack import OpenStack

        return OpenStack(containers.told(), telling)
    from .baremetal import Baremetal

    return Baremetal(containers.place.cidr, options.authorized_keys.read_text().splitlines(), telling)


def _telling(application: Application, asked: threading.Event) -> Application:
    """Say of every request that it came: it may have changed something."""

    def wrapped(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return application(environ, start_response)
        finally:
            if environ.get("HTTP_X_STAND_IN") != FOLLOWING[1]:
                asked.set()

    return wrapped


def _follow(provider: Provider, containers: Containers, names: nameserver.Names) -> None:
    """What fails is said and tried again: what a provider holds in the middle of a run may not be complete."""
    try:
        world = provider.world()
        names.records = world.names
        for line in containers.follow(world):
            print(line, flush=True)
    except Exception:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()


def _tls(directory: Path) -> ssl.SSLContext:
    now = datetime.datetime.now(datetime.timezone.utc)
    ca_key, _pem = tls.new_key()
    key, key_pem = tls.new_key()
    ca = tls.authority(ca_key, "stand-in", now)
    _write(directory / "ca.crt", ca.decode())
    _write(directory / "server.crt", tls.server(ca, ca_key, key, ["localhost", "127.0.0.1"], now).decode())
    _write(directory / "server.key", key_pem.decode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    return context


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
