# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A minimal client of the Kubernetes API: one fresh TLS connection a request, everything verified.

Small on purpose. The prober needs to know what every request really did on the wire (no pooled connection, no retry, no
redirect), which a full client hides.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml


class ApiError(AssertionError):
    """An answer that is not the one wanted."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Target:
    """Where the API answers: `address` is dialled, `name` is verified in the certificate."""

    name: str
    address: str
    port: int


class _NamedConnection(http.client.HTTPSConnection):
    """Dials an address and verifies a name, as a client does whose resolver knows the endpoint's name."""

    def __init__(self, target: Target, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(target.name, target.port, timeout=timeout, context=context)
        self._target = target
        self._tls = context

    def connect(self) -> None:
        raw = socket.create_connection((self._target.address, self._target.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self._target.name)
        except BaseException:
            raw.close()
            raise


@dataclass(frozen=True)
class Answer:
    """One answer of the API server."""

    status: int
    body: str
    warning: str = ""

    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """Requests to one target with one identity."""

    def __init__(self, target: Target, context: ssl.SSLContext, *, headers: Mapping[str, str] | None = None) -> None:
        self.target = target
        self.context = context
        self.headers = dict(headers or {})

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout: float = 10,
        content_type: str = "application/json",
        **query: str,
    ) -> Answer:
        """Send one request over one new connection. The timeout covers each step on the socket."""
        connection = _NamedConnection(self.target, timeout, self.context)
        try:
            payload = None if body is None else json.dumps(body)
            headers = {**self.headers, "Connection": "close"}
            if payload is not None:
                headers["Content-Type"] = content_type
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, payload, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return Answer(answer.status, text, answer.headers.get("Warning", ""))
        finally:
            connection.close()

    def get(self, path: str, **query: str) -> Any:
        return self._wanted("GET", path, None, {200}, **query)

    def create(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._wanted("POST", path, body, {200, 201, 202})

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._wanted("PATCH", path, body, {200}, content_type="application/merge-patch+json")

    def delete(self, path: str, *, grace_seconds: int | None = None, **query: str) -> None:
        """Delete an object or a collection; what is not there is fine."""
        body = None if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        self._wanted("DELETE", path, body, {200, 202, 404}, **query)

    def _wanted(self, method: str, path: str, body: Any, statuses: set[int], **options: Any) -> Any:
        answer = self.request(method, path, body, **options)
        if answer.status not in statuses:
            raise ApiError(answer.status, f"{method} {path}: {answer.body[:500]}")
        return answer.json()


@dataclass(frozen=True)
class Identity:
    """What a kubeconfig says, decoded."""

    target: Target
    ca: bytes
    certificate: bytes
    key: bytes

    def context(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca.decode())
        if with_certificate:
            # load_cert_chain() reads files only; the key rests in a 0600 file for the length of this call.
            with tempfile.NamedTemporaryFile(dir=_private_directory(), suffix=".pem") as file:
                file.write(self.certificate + b"\n" + self.key)
                file.flush()
                context.load_cert_chain(file.name)
        return context

    def api(self, *, anonymous: bool = False, headers: Mapping[str, str] | None = None) -> Api:
        return Api(self.target, self.context(with_certificate=not anonymous), headers=headers)


def _private_directory() -> str | None:
    """Memory, where there is some: a key should not meet a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def read_kubeconfig(path: Path, *, addresses: Mapping[str, str] | None = None) -> Identity:
    """Decode the current context of a kubeconfig.

    `addresses` maps names to addresses, as the resolver of a client would.
    """
    config = yaml.safe_load(path.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    server = urlsplit(cluster["server"])
    host = server.hostname or ""
    name = cluster.get("tls-server-name", host)
    return Identity(
        target=Target(name=name, address=(addresses or {}).get(host, host), port=server.port or 443),
        ca=base64.b64decode(cluster["certificate-authority-data"]),
        certificate=base64.b64decode(user["client-certificate-data"]),
        key=base64.b64decode(user["client-key-data"]),
    )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)
