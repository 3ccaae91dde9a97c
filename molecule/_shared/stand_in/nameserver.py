# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A name server for the machines: the provider's records, and names of the site."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Mapping
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

PORT = 53
TTL = 5


class Names:
    """What is served now. Another thread changes it as a whole."""

    def __init__(self, site: Mapping[str, str]) -> None:
        self.site = {name: (address,) for name, address in site.items()}
        self.records: Mapping[str, tuple[str, ...]] = {}

    def answer(self, query: bytes) -> bytes:
        asked = dns.message.from_wire(query)
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.AA
        for question in asked.question:
            name = question.name.to_text(omit_final_dot=True).lower()
            values = {**self.records, **self.site}.get(name)
            if values is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif question.rdtype == dns.rdatatype.A and values:
                answer.answer.append(dns.rrset.from_text(question.name, TTL, "IN", "A", *values))
        return answer.to_wire()


def serve(names: Names, address: str) -> None:
    """Over UDP and TCP, in threads of their own."""

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, socket = self.request
            socket.sendto(names.answer(data), self.client_address)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = int.from_bytes(self.rfile.read(2), "big")
            answer = names.answer(self.rfile.read(length))
            self.wfile.write(len(answer).to_bytes(2, "big") + answer)

    class Udp(socketserver.ThreadingUDPServer):
        allow_reuse_address = daemon_threads = True

    class Tcp(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    servers: list[Any] = [Udp((address, PORT), Datagram), Tcp((address, PORT), Stream)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
