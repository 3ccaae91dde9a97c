# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away API server on a restored etcd. It listens on 127.0.0.1 and calls nothing but that etcd.

The keys are those of the identity bundle, so what it reads, the restored cluster will read.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import commands, drill_bundle, loopback
from .drill_etcd import process, wait
from .errors import BackupError
from .etcd import Etcd

_ISSUER = "https://kubernetes.default.svc.cluster.local"
_ACCOUNT = ("kube-system", "default")
_PAGE = 500
# Whatever the objects in the snapshot tell it to call (webhooks, extension servers, kubelets), it reaches nobody.
_NOBODY = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": "/nonexistent"}}}
_EGRESS = {
    "apiVersion": "apiserver.k8s.io/v1beta1",
    "kind": "EgressSelectorConfiguration",
    "egressSelections": [{"name": name, "connection": _NOBODY} for name in ("cluster", "controlplane")],
}


class ApiError(BackupError):
    """The API server did not answer, or refused."""


@dataclass(frozen=True)
class Api:
    """An API server, and the token of whoever may do everything there. `timeout`: seconds for one answer."""

    port: int
    certificate: Path
    token: str
    timeout: float = 60

    def secrets(self) -> int:
        """Read all Secrets, a page at a time, and return how many there are."""
        total, more = 0, ""
        while True:
            page = self.call("GET", f"/api/v1/secrets?limit={_PAGE}" + (f"&continue={quote(more)}" if more else ""))
            total += len(page["items"])
            more = page["metadata"].get("continue", "")
            if not more:
                return total

    def account(self) -> str:
        """Have a token of a service account signed, and return as whom the server knows its bearer."""
        namespace, name = _ACCOUNT
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.call("POST", path, request)["status"]["token"]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        bearer = Api(self.port, self.certificate, token, self.timeout)
        return str(
            bearer.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"][
                "username"
            ]
        )

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return an answer. ApiError, with the server's own words where it refused."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=self.timeout, context=context)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"the API server does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status >= 300:
            raise ApiError(f"the API server refuses {method} {path.split('?')[0]}: {_reason(text)}")
        try:
            return dict(json.loads(text))
        except ValueError:
            # /readyz answers in plain text.
            return {}


@contextlib.contextmanager
def serving(
    etcd: Etcd,
    files: Mapping[str, bytes],
    service_cidr: str,
    directory: Path,
    timeout: float,
    more: Sequence[str] = (),
) -> Iterator[Api]:
    """Run an API server until the block ends. `files`: the identity bundle's, by path; they lie in `directory` then.

    `more`: further arguments of the server.
    """
    token = secrets.token_urlsafe(32)
    where = directory / "api"
    where.mkdir(mode=0o700)
    _write(where / "tokens.csv", f'{token},drill,drill,"system:masters"\n'.encode())
    _write(where / "sa.key", files[drill_bundle.SERVICE_ACCOUNT_KEY])
    _write(where / "encryption.yml", files[drill_bundle.ENCRYPTION])
    _write(where / "egress.json", json.dumps(_EGRESS).encode())
    _make_certificate(where)
    port = loopback.free_port()
    arguments = [
        "kube-apiserver",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={where}/server.crt",
        f"--tls-private-key-file={where}/server.key",
        f"--token-auth-file={where}/tokens.csv",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        f"--etcd-servers={etcd.url}",
        # The counts are of one revision: nothing may be compacted away.
        "--etcd-compaction-interval=0",
        f"--encryption-provider-config={where}/encryption.yml",
        f"--egress-selector-config-file={where}/egress.json",
        "--endpoint-reconciler-type=none",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-signing-key-file={where}/sa.key",
        f"--service-account-key-file={where}/sa.key",
        f"--service-cluster-ip-range={service_cidr}",
        "--profiling=false",
        *more,
    ]
    api = Api(port, where / "server.crt", token)
    with process(arguments, directory / "api.log") as running:
        # It quotes an encryption configuration that it cannot read, with the keys.
        wait(lambda: _missing(api), running, None, timeout)
        yield api


def _missing(api: Api) -> str:
    try:
        api.call("GET", "/readyz")
    except ApiError as error:
        return str(error)
    return ""


def _make_certificate(directory: Path) -> None:
    """A certificate that is its own authority, for as long as the server lives."""
    commands.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days=1",
            "-subj=/CN=drill",
            "-addext=subjectAltName=IP:127.0.0.1",
            f"-keyout={directory}/server.key",
            f"-out={directory}/server.crt",
        ],
        30,
    )


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)


def _reason(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        lines = text.decode(errors="replace").splitlines()
        # /readyz has a line for each of its checks.
        return ", ".join([line for line in lines if line.startswith("[-]")] or lines[:1])[:200]
