# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd cluster of three members with a database of a given size, and a steady writer on it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent_scene import NAMES, Cluster

from . import writer
from .latency import Sample

VALUE_BYTES = 16 << 10
_VALUES_IN_REQUEST = 32
RATE, CONNECTIONS, WRITE_BYTES = 200, 30, 256
# As the role etcd sets them, and a disk that is waited for.
SETTINGS = {
    "UNSAFE_NO_FSYNC": "false",
    "QUOTA_BACKEND_BYTES": str(8 << 30),
    "SNAPSHOT_COUNT": "10000",
}


def value(source: random.Random) -> bytes:
    """A value of which one half is like what is encrypted, and the other like what is not."""
    half = VALUE_BYTES // 2
    return source.randbytes(half) + b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bench"}}'.ljust(
        half, b" "
    )


class Filling:
    """What fills a cluster; `megabytes` is how much of it there is already."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.bytes = 0
        self._source = random.Random(1)

    def fill(self, megabytes: int) -> None:
        """Have values of so many MB (10^6 bytes) in all, then let no old revision remain."""
        while self.bytes < megabytes * 10**6:
            puts = []
            for _ in range(min(_VALUES_IN_REQUEST, -(-(megabytes * 10**6 - self.bytes) // VALUE_BYTES))):
                key = f"/registry/configmaps/bench/map-{self.bytes // VALUE_BYTES:08d}".encode()
                puts.append({"requestPut": {"key": _text(key), "value": _text(value(self._source))}})
                self.bytes += VALUE_BYTES
            self._call("/v3/kv/txn", {"success": puts})
        self.compact()

    def compact(self) -> None:
        revision = self.cluster.etcd(self.cluster.leader()).revision()
        self._call("/v3/kv/compaction", {"revision": str(revision), "physical": True})

    def _call(self, path: str, body: dict[str, Any]) -> None:
        # A compaction takes its time; an agent's patience is not what it needs.
        connection: http.client.HTTPConnection = self.cluster.etcd(self.cluster.leader())._connection()
        connection.timeout = 300
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"etcd answered {answer.status}: {text[:200]!r}")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Writing:
    """A writer that runs; `samples` are there when it has ended."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []


@contextmanager
def written(cluster: Cluster, directory: Path) -> Iterator[Writing]:
    """Through all members alike, as API servers write, until the block ends."""
    etcds = [cluster.etcd(name) for name in NAMES]
    settings, result = directory / "writer.json", directory / "writer.samples"
    settings.write_text(
        json.dumps(
            {
                "urls": [etcd.url for etcd in etcds],
                "ca": etcds[0].ca,
                "certificate": etcds[0].certificate,
                "key": etcds[0].key,
                "rate": RATE,
                "connections": CONNECTIONS,
                "value_bytes": WRITE_BYTES,
            }
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(Path(writer.__file__)), str(settings), str(result)],
        stdin=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    writing = Writing()
    try:
        yield writing
    finally:
        process.communicate(timeout=60)
    writing.samples = [(due, seconds) for due, seconds in writer.SAMPLE.iter_unpack(result.read_bytes())]
