# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BIND, with one zone that a key may transfer and update, and our middleware in front of it.

A DNS message is shown to the middleware as a request of HTTP, so that both kinds of traffic have one log and the same
faults.
"""

from __future__ import annotations

import base64
import io
import secrets
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from traffic import Application

KEY = "caravan"
# What a user is told to write, for the zone and the key of the tests.
DOCUMENTED = Path(__file__).resolve().parents[4] / "docs" / "providers-baremetal-named.conf"
CONFIGURATION = """\
options {{
  directory "{directory}";
  pid-file none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  dnssec-validation no;
  allow-query {{ 127.0.0.1; }};
  allow-transfer {{ none; }};
  notify no;
}};
controls {{ }};
include "caravan.conf";
"""
CONTENT = """\
$TTL 60
@ IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60
@ IN NS ns.{zone}.
ns IN A 127.0.0.1
www IN A 198.51.100.80
"""
# What the middleware answers in the server's place, in the words of DNS.
RCODES = {"400": dns.rcode.REFUSED, "409": dns.rcode.SERVFAIL, "503": dns.rcode.SERVFAIL}


class NameServer:
    """port: of the middleware's side. `around` is the middleware."""

    def __init__(self, directory: Path, zone: str, around: Callable[[Application], Application]) -> None:
        self.zone, self.directory = zone, directory / "named"
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self.key = dns.tsig.Key(KEY, self.secret, "hmac-sha256")
        self.behind = free_port()
        self._start()
        self.front = Front(around, self.behind, self.key)
        self.port = self.front.server_address[1]
        self.content = self.records()

    def _start(self) -> None:
        self.directory.mkdir(mode=0o700)
        (self.directory / "zone").write_text(CONTENT.format(zone=self.zone))
        configuration = self.directory / "named.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(CONFIGURATION.format(directory=self.directory, port=self.behind))
        granted = self.directory / "caravan.conf"
        granted.touch(mode=0o600)
        granted.write_text(
            DOCUMENTED.read_text()
            .replace("CHANGE-ME", self.secret)
            .replace("prod.example.org.zone", "zone")
            .replace("prod.example.org", self.zone)
        )
        program = shutil.which("named", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if program is None:
            raise RuntimeError("named is not installed: run scripts/setup")
        with (self.directory / "log").open("wb") as log:
            # It ends with this process, in whatever way that ends.
            command = ["setpriv", "--pdeathsig", "TERM", program, "-g", "-n", "1", "-c", str(configuration)]
            self.process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.records()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"named: {(self.directory / 'log').read_text()}") from None
                time.sleep(0.05)

    def records(self) -> dict[tuple[str, str], list[str]]:
        """All of the zone but its SOA, asked of BIND itself."""
        zone = dns.zone.Zone(dns.name.from_text(self.zone), relativize=False)
        query, _serial = dns.xfr.make_query(zone, keyring=self.key)
        dns.query.inbound_xfr("127.0.0.1", zone, query, port=self.behind, lifetime=5)
        return {
            (name.to_text(omit_final_dot=True), dns.rdatatype.to_text(one.rdtype)): sorted(
                item.to_text() for item in one
            )
            for name, one in zone.iterate_rdatasets()
            if one.rdtype != dns.rdatatype.SOA
        }

    def update(self, update: dns.update.UpdateMessage) -> None:
        """By another one with the key, not through the middleware."""
        answer = dns.query.tcp(update, "127.0.0.1", port=self.behind, timeout=5)
        if answer.rcode() != dns.rcode.NOERROR:
            raise RuntimeError(dns.rcode.to_text(answer.rcode()))

    def message(self) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(self.zone, keyring=self.key)

    def reset(self) -> None:
        update = self.message()
        for name, type in set(self.records()) - set(self.content):
            update.delete(dns.name.from_text(name), type)
        for (name, type), texts in self.content.items():
            if type != "NS":
                update.replace(dns.name.from_text(name), 60, type, *texts)
        self.update(update)

    def stop(self) -> None:
        self.front.shutdown()
        self.front.server_close()
        self.process.terminate()
        self.process.wait(20)


class Front(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, around: Callable[[Application], Application], behind: int, key: dns.tsig.Key) -> None:
        self.behind, self.key = behind, key
        self.application = around(self._forward)
        super().__init__(("127.0.0.1", free_port()), Connection)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, wire: bytes) -> bytes:
        message = dns.message.from_wire(wire, keyring=self.key, continue_on_error=True)
        updates = message.opcode() == dns.opcode.UPDATE
        environ = {
            "REQUEST_METHOD": "UPDATE" if updates else "QUERY",
            "PATH_INFO": message.sections[0][0].name.to_text() if message.sections[0] else "",
            "CONTENT_LENGTH": str(len(wire)),
            "wsgi.input": io.BytesIO(wire),
        }
        told: list[Any] = []
        body = b"".join(self.application(environ, lambda *arguments: told.extend(arguments)))
        if told[0].startswith("200"):
            return body
        response = dns.message.make_response(message)
        response.set_rcode(RCODES[told[0][:3]])
        return response.to_wire()

    def _forward(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with socket.create_connection(("127.0.0.1", self.behind), timeout=10) as connection:
            send(connection, environ["wsgi.input"].read())
            # The test's zones fit into one message.
            answer = receive(connection)
        start_response("200 OK", [])
        return [answer]


class Connection(socketserver.BaseRequestHandler):
    server: Front

    def handle(self) -> None:
        while wire := receive(self.request):
            send(self.request, self.server.answer(wire))


def send(connection: socket.socket, wire: bytes) -> None:
    connection.sendall(struct.pack("!H", len(wire)) + wire)


def receive(connection: socket.socket) -> bytes:
    """One message, or nothing at the end."""
    length = exactly(connection, 2)
    return exactly(connection, struct.unpack("!H", length)[0]) if length else b""


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            return b""
        data += chunk
    return data
