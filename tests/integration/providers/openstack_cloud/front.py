# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one address that clients of the cloud know: over TLS, by paths, to the services behind it."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from serving import Lasting
from werkzeug.serving import make_server

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Front:
    """`backends`: the services' own addresses by the first part of their paths. `around` wraps the application."""

    def __init__(
        self,
        port: int,
        backends: Mapping[str, str],
        certificate: tuple[str, str],
        around: Callable[[Application], Application],
    ) -> None:
        self.backends = {path: urlsplit(url).netloc for path, url in backends.items()}
        # Each thread is one client's connection, and has its own to each service.
        self.connections = threading.local()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        application = around(self._forward)
        self.server = make_server("127.0.0.1", port, application, True, request_handler=Lasting, ssl_context=context)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def _forward(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        target = environ["REQUEST_URI"]
        backend = self.backends["/" + target.split("/")[1].split("?")[0]]
        headers = {
            name[5:].replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") and name not in ("HTTP_CONNECTION", "HTTP_ACCEPT_ENCODING")
        }
        headers["X-Forwarded-Proto"] = "https"
        if environ.get("CONTENT_TYPE"):
            headers["Content-Type"] = environ["CONTENT_TYPE"]
        body = environ["wsgi.input"].read()
        connection = self._connection(backend)
        try:
            connection.request(environ["REQUEST_METHOD"], target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            # The next request opens it again.
            connection.close()
            raise
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        start_response(f"{answer.status} {answer.reason}", [*kept, ("Content-Length", str(len(content)))])
        return [content]

    def _connection(self, backend: str) -> http.client.HTTPConnection:
        known: dict[str, http.client.HTTPConnection] = self.connections.__dict__
        if backend not in known:
            known[backend] = http.client.HTTPConnection(backend, timeout=120)
        return known[backend]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
