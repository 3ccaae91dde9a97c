# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under which keys etcd holds objects, read straight from etcd: not what an API server says of itself."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .errors import EncryptionError

PREFIX = b"/registry/"
# A value begins with this, the provider, its version and the key's name: k8s:enc:secretbox:v1:key1:
ENCRYPTED = b"k8s:enc:"
EXAMPLES = 5
PAGE = 500
# A page of large objects must not fill the memory: the next one is smaller.
PAGE_BYTES = 8 << 20
TIMEOUT = 30.0

Ask = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Stored:
    """Counts of objects: by key, by key and resource, and of those that are stored plain, by resource."""

    objects: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    resources: dict[str, Counter[str]] = field(default_factory=dict)
    plain: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: bytes, value: bytes) -> None:
        """Count one object."""
        self.objects += 1
        name = key_of(value)
        resource = resource_of(path)
        if name is None:
            self.plain[resource] += 1
            return
        self.keys[name] += 1
        self.resources.setdefault(name, Counter())[resource] += 1
        examples = self.examples.setdefault(name, [])
        if len(examples) < EXAMPLES:
            examples.append(path.decode("utf-8", "replace"))


def key_of(value: bytes) -> str | None:
    """Return the name of the key a value is under, with its provider where that is not secretbox; None when plain."""
    if not value.startswith(ENCRYPTED):
        return None
    provider, _version, name, *_rest = [*value[len(ENCRYPTED) : 400].split(b":", 3), b"", b""]
    key = name.decode("utf-8", "replace")
    return key if provider == b"secretbox" else f"{provider.decode('utf-8', 'replace')}:{key}"


def resource_of(path: bytes) -> str:
    """Return the resource in an object's path; of custom resources it is their group."""
    return path[len(PREFIX) :].split(b"/", 1)[0].decode("utf-8", "replace")


def scan(ask: Ask) -> Stored:
    """Read all that Kubernetes has in etcd, page by page. Each page is a linearizable read."""
    stored = Stored()
    for path, value in _values(ask):
        stored.add(path, value)
    return stored


def left_over(stored: Stored, newest: str, wanted: Sequence[str]) -> str:
    """Return what is not under the newest key although it should be, in words; empty when all is in order."""
    told = [
        f"{count} objects under {name} ({', '.join(stored.examples[name])}{', ...' if count > EXAMPLES else ''})"
        for name, count in sorted(stored.keys.items())
        if name != newest
    ]
    told += [f"{stored.plain[name]} {name} are stored plain" for name in wanted if stored.plain[name]]
    return "; ".join(told)


def _values(ask: Ask) -> Iterator[tuple[bytes, bytes]]:
    start, end, limit = PREFIX, PREFIX[:-1] + bytes([PREFIX[-1] + 1]), PAGE
    while True:
        answer = ask({"key": _encode(start), "range_end": _encode(end), "limit": limit})
        size = 0
        for entry in answer.get("kvs", ()):
            start, value = base64.b64decode(entry["key"]), base64.b64decode(entry.get("value", ""))
            size += len(value)
            yield start, value
        if not answer.get("more"):
            return
        start += b"\0"
        limit = max(1, limit // 2) if size > PAGE_BYTES else min(PAGE, limit * 2)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Reader:
    """etcd's JSON gateway, at the first of some endpoints that answers; when that one stops, the next one goes on."""

    def __init__(self, endpoints: Sequence[str], ca: str, certificate: str, key: str) -> None:
        self.endpoints = list(endpoints)
        try:
            self.context = ssl.create_default_context(cafile=ca)
            self.context.load_cert_chain(certificate, key)
        except OSError as error:
            raise EncryptionError(f"etcd's client certificate cannot be used ({ca}, {certificate}): {error}") from error

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a range request."""
        seen = []
        for endpoint in list(self.endpoints):
            try:
                return self._ask(endpoint, request)
            except (OSError, ValueError, http.client.HTTPException) as error:
                seen.append(f"{endpoint}: {error}")
                self.endpoints.append(self.endpoints.pop(0))
        raise EncryptionError(f"no member of etcd answers: {'; '.join(seen)}")

    def _ask(self, endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
        url = urlsplit(endpoint)
        connection = http.client.HTTPSConnection(
            url.hostname or "", url.port or 2379, context=self.context, timeout=TIMEOUT
        )
        try:
            connection.request("POST", "/v3/kv/range", json.dumps(request))
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(f"{response.status} {text[:200]!r}")
        answer: dict[str, Any] = json.loads(text)
        return answer
