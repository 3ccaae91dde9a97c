# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of the Kubernetes API for use on the nodes themselves: Python's standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import kubeconfig
from .errors import KubeadmError

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "caravan"
# Secrets that a library wants as a file are written to memory only.
MEMORY_DIR = "/run"


class ApiError(KubeadmError):
    """The API answered with an error. `status` is the HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@contextlib.contextmanager
def in_memory_file(content: str) -> Iterator[str]:
    """Give `content` as a 0600 file on tmpfs for the length of the block."""
    descriptor, path = tempfile.mkstemp(prefix="caravan-", dir=MEMORY_DIR if Path(MEMORY_DIR).is_dir() else None)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(content)
        yield path
    finally:
        Path(path).unlink()


class Api:
    """One keep-alive connection to one API server."""

    def __init__(self, address: str, port: int, ca_pem: str, client_pem: str, timeout: float = 10.0) -> None:
        self.context = ssl.create_default_context(cadata=ca_pem)
        if client_pem:
            with in_memory_file(client_pem) as path:
                self.context.load_cert_chain(path)
        self.address = address
        self.port = port
        self.timeout = timeout
        self._connection: http.client.HTTPSConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        query: str = "",
        accept: str = "application/json",
    ) -> Any:
        """Return the decoded answer, or raise ApiError. A connection the server closed meanwhile is opened again."""
        # A text is YAML already, which the API takes for a server-side apply.
        payload = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        headers = {"Accept": accept, "User-Agent": "caravan"}
        if payload is not None:
            headers["Content-Type"] = content_type
        target = path + ("?" + query if query else "")
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    self.address, self.port, context=self.context, timeout=self.timeout
                )
            try:
                self._connection.request(method, target, body=payload, headers=headers)
                response = self._connection.getresponse()
                text = response.read().decode("utf-8", "replace")
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                self._connection = None
                if attempt == 1 and isinstance(error, (http.client.RemoteDisconnected, ConnectionResetError)):
                    continue
                raise ApiError(f"{method} {path} at {self.address}:{self.port}: {error}") from error
            break
        if response.status >= 400:
            try:
                message = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                message = text[:300]
            raise ApiError(f"{method} {path}: {response.status} {message}", response.status)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get_or_none(self, path: str) -> Any:
        """Return the object at `path`, None when there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def from_kubeconfig(path: str, address: str, port: int, timeout: float = 10.0) -> Api:
    """Return a client with the credentials in the kubeconfig at `path`, for the API server at address:port."""
    try:
        fields = kubeconfig.parse(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise KubeadmError(f"{path} cannot be used: {error}") from error
    client = fields.get("client-certificate-data", "") + "\n" + fields.get("client-key-data", "")
    return Api(address, port, fields.get("certificate-authority-data", ""), client, timeout)


def ready(address: str, port: int, ca_pem: str, timeout: float = 2.0) -> tuple[bool, str]:
    """Ask /readyz (a path open to all) of one API server. Returns (healthy, what was seen)."""
    try:
        client = Api(address, port, ca_pem, "", timeout)
        answer = client.request("GET", "/readyz")
    except (KubeadmError, OSError, ValueError) as error:
        return False, str(error)
    return str(answer).strip() == "ok", str(answer)[:200]


# Plural and scope of the few kinds Caravan writes itself.
_KINDS = {
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "ConfigMap": ("configmaps", True),
    "Namespace": ("namespaces", False),
}


def object_path(document: dict[str, Any]) -> str:
    """Return the API path of an object of one of the kinds Caravan writes. Pure."""
    group = document["apiVersion"]
    base = "/api/v1" if group == "v1" else "/apis/" + group
    plural, namespaced = _KINDS[document["kind"]]
    scope = "/namespaces/" + document["metadata"]["namespace"] if namespaced else ""
    return "{}{}/{}/{}".format(base, scope, plural, urllib.parse.quote(document["metadata"]["name"], safe=":"))


def contains(actual: Any, wanted: Any) -> bool:
    """Say whether `wanted` is a part of `actual` (lists must be equal). Pure."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(contains(actual.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(wanted)
            and all(contains(a, w) for a, w in zip(actual, wanted))
        )
    return bool(actual == wanted)
