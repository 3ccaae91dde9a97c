# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have an API server write objects again, so that they are stored under its first key.

An empty patch is enough: an API server that finds the stored form out of date writes it anew, and leaves the rest
alone. Names are asked for only, never contents.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from threading import local
from typing import Any, Callable

from .._kubeadm.api import MERGE_PATCH, Api, ApiError
from .errors import EncryptionError
from .layout import covers

NAMES = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
NAME = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
# Gone: nothing is left to be written. Conflict, too many requests, or a server that is just not there: once more.
GONE, RETRIED = 404, (0, 409, 429, 500, 502, 503, 504)
ATTEMPTS = 8
EXAMPLES = 10


@dataclass
class Cursor:
    """Where a pass over all objects is: `path` is the collection, `token` its next page. `refused`: by name, why."""

    path: str = ""
    token: str = ""
    written: int = 0
    done: bool = False
    refused: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return it as Ansible hands it to and fro."""
        return asdict(self)


def collections(patterns: Sequence[str], groups: Sequence[tuple[str, str, Sequence[dict[str, Any]]]]) -> list[str]:
    """Return the paths of the collections that the patterns of an encryption configuration take in. Pure.

    `groups`: (group, path of its preferred version, resources as discovery tells them).
    """
    found = []
    for group, base, resources in groups:
        for resource in resources:
            name = str(resource["name"])
            if "/" in name or not {"list", "patch"} <= set(resource["verbs"]):
                continue
            full = f"{name}.{group}" if group else name
            if any(covers(pattern, full) for pattern in patterns):
                found.append(f"{base}/{name}")
    return found


def discover(api: Api) -> list[tuple[str, str, Sequence[dict[str, Any]]]]:
    """Return all resources of the API, as `collections` wants them."""
    found: list[tuple[str, str, Sequence[dict[str, Any]]]] = [
        ("", "/api/v1", api.request("GET", "/api/v1")["resources"])
    ]
    for group in api.request("GET", "/apis")["groups"]:
        base = "/apis/" + group["preferredVersion"]["groupVersion"]
        found.append((group["name"], base, api.request("GET", base)["resources"]))
    return found


def object_path(collection: str, metadata: dict[str, Any]) -> str:
    """Return the path of one object. Pure."""
    base, _, plural = collection.rpartition("/")
    scope = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{base}{scope}/{plural}/{urllib.parse.quote(metadata['name'], safe=':')}"


class Rewriter:
    """Writes objects again through one API server. `connect` makes a client; each worker has its own."""

    def __init__(self, connect: Callable[[], Api], parallel: int, page: int) -> None:
        self.connect = connect
        self.parallel = parallel
        self.page = page
        self._own = local()

    def run(self, patterns: Sequence[str], cursor: Cursor, budget: float) -> Cursor:
        """Go on from a cursor for about `budget` seconds."""
        end = time.monotonic() + budget
        paths = collections(patterns, discover(self._api()))
        if cursor.path in paths:
            paths = paths[paths.index(cursor.path) :]
        else:
            cursor.token = ""
        with ThreadPoolExecutor(max_workers=self.parallel) as pool:
            for path in paths:
                cursor.path = path
                for objects in self._pages(cursor):
                    for name, refusal in pool.map(self._rewrite, objects):
                        cursor.written += 1
                        if refusal and len(cursor.refused) < EXAMPLES:
                            cursor.refused[name] = refusal
                    if time.monotonic() >= end and cursor.token:
                        return cursor
        cursor.done = True
        return cursor

    def _api(self) -> Api:
        if not hasattr(self._own, "api"):
            self._own.api = self.connect()
        api: Api = self._own.api
        return api

    def _pages(self, cursor: Cursor) -> Iterator[list[str]]:
        """Yield the paths of the objects of one page; the cursor is at the next one meanwhile."""
        while True:
            query = {"limit": str(self.page), **({"continue": cursor.token} if cursor.token else {})}
            try:
                answer = self._patient("GET", cursor.path, None, urllib.parse.urlencode(query), NAMES)
            except ApiError as error:
                # The list is older than etcd's history goes back: from the beginning. What is done costs only reads.
                if error.status == 410 and cursor.token:
                    cursor.token = ""
                    continue
                raise EncryptionError(f"The objects to write again cannot be listed: {error}") from error
            cursor.token = answer["metadata"].get("continue") or ""
            yield [object_path(cursor.path, item["metadata"]) for item in answer["items"]]
            if not cursor.token:
                return

    def _rewrite(self, path: str) -> tuple[str, str]:
        try:
            self._patient("PATCH", path, {}, "", NAME)
        except ApiError as error:
            return path, "" if error.status == GONE else str(error)
        return path, ""

    def _patient(self, method: str, path: str, body: Any, query: str, accept: str) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._api().request(method, path, body, MERGE_PATCH, query, accept)
            except ApiError as error:
                if error.status not in RETRIED or attempt == ATTEMPTS:
                    raise
                time.sleep(0.1 * 2**attempt if error.status != 409 else 0.05)
        raise AssertionError("unreachable")
