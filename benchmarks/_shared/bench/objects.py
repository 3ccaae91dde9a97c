# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ConfigMaps and Secrets of many sizes, written through the API until the database has the size wanted."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cluster_tests.api import Api

NAMESPACE = "caravan-benchmark"
KINDS = ("configmaps", "secrets")
# Bytes of the objects, in turn: most are small, most bytes are in large ones. The API takes up to 1 MiB of data.
SIZES = (1_000, 2_000, 1_000, 5_000, 10_000, 30_000, 100_000, 900_000)
_WORKERS = 4
_TIMEOUT = 120
_ATTEMPTS = 5


@dataclass(frozen=True)
class Planned:
    """An object to be written, with so many bytes of data. Which bytes follows from its number."""

    number: int
    kind: str
    bytes: int

    @property
    def name(self) -> str:
        return f"object-{self.number}"

    def data(self) -> str:
        return base64.b64encode(random.Random(self.number).randbytes(self.bytes * 3 // 4)).decode()

    def body(self) -> dict[str, Any]:
        # Text is what a ConfigMap has; a Secret has bytes, which travel as text.
        field = "stringData" if self.kind == "secrets" else "data"
        return {"metadata": {"name": self.name}, field: {"value": self.data()}}


def planned(number: int, wanted: int) -> Iterator[Planned]:
    """Return objects from a number on, until they have so many bytes in all. Pure."""
    total = 0
    while total < wanted:
        one = Planned(number, KINDS[number % 2], SIZES[number // 2 % len(SIZES)])
        yield one
        total += one.bytes
        number += 1


class Objects:
    """What was written to one cluster, through whichever API it has at the moment."""

    def __init__(self) -> None:
        self.written: list[Planned] = []

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.written)

    def fill(self, api: Api, megabytes: int) -> None:
        """Write until there are so many MB (10^6 bytes) of data."""
        if not self.written:
            call(api, "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        more = list(planned(len(self.written), megabytes * 10**6 - self.bytes))
        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(lambda one: call(api, "POST", path(one.kind), one.body()), more))
        self.written += more

    def missing(self, api: Api) -> list[str]:
        """Return what is not there any more, by kind; of each kind the last object's data are compared too."""
        problems = []
        for kind in KINDS:
            own = [one for one in self.written if one.kind == kind]
            if not own:
                continue
            listed = call(api, "GET", path(kind), limit="1")
            seen = len(listed["items"]) + listed["metadata"].get("remainingItemCount", 0)
            # Each namespace has one ConfigMap of its own.
            wanted = len(own) + (1 if kind == "configmaps" else 0)
            if seen != wanted:
                problems.append(f"{seen} {kind}, wanted {wanted}")
            value = call(api, "GET", f"{path(kind)}/{own[-1].name}")["data"]["value"]
            text = base64.b64decode(value).decode() if kind == "secrets" else value
            if digest(text) != digest(own[-1].data()):
                problems.append(f"{own[-1].name} of the {kind} has other data")
        return problems


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def path(kind: str) -> str:
    return f"/api/v1/namespaces/{NAMESPACE}/{kind}"


def call(api: Api, method: str, to: str, body: dict[str, Any] | None = None, **query: str) -> Any:
    """Return the answer of the API server, a little later where it is too busy. What is there was sent before."""
    for attempt in range(_ATTEMPTS):
        try:
            answer = api.request(method, to, body, timeout=_TIMEOUT, **query)
        except OSError as error:
            said = str(error)
        else:
            if answer.status in (200, 201, 409):
                return answer.json()
            said = f"{answer.status}: {answer.body[:300]}"
        time.sleep(2**attempt)
    raise RuntimeError(f"{method} {to}: {said}")
