# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins are asked a hundred times a second: their connections stay open, and they keep no log."""

from __future__ import annotations

import traceback
from typing import Any

from werkzeug.serving import WSGIRequestHandler


class Lasting(WSGIRequestHandler):
    """One connection for many requests.

    werkzeug's own way closes each connection, and waits after each answer for what may be left of the request. Nothing
    is: Traffic, in front of every application, reads the whole of it.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        told: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            told[:] = [status, headers]

        try:
            body = b"".join(self.server.app(self.make_environ(), start_response))
        except Exception:
            traceback.print_exc()
            told[:], body = ["500 Internal Server Error", []], b"the stand-in has failed: see its output"
        code, _space, reason = told[0].partition(" ")
        self.send_response(int(code), reason)
        for name, value in told[1]:
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD" and int(code) not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log(self, type: str, message: str, *args: Any) -> None:
        pass
