# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady writer on etcd, as a process of its own: so many writes a second, whatever becomes of them.

Writes are begun by a fixed schedule, and their latency counts from the moment they were due: a server that stands still
for a second is seen by all writes of that second, not only by those that were under way.

    python3 writer.py SETTINGS.json RESULT       until its standard input ends
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# When a write was due, in seconds of the monotonic clock, which all processes share; its latency, below zero: refused.
SAMPLE = struct.Struct("dd")
# Few enough keys for the database not to grow by them.
_KEYS = 1000
_TIMEOUT = 30.0


class Line:
    """One connection to one member, which is made again where it broke."""

    def __init__(self, settings: dict[str, Any], number: int) -> None:
        self._address = urlsplit(settings["urls"][number % len(settings["urls"])])
        self._context = ssl.create_default_context(cafile=settings["ca"])
        self._context.load_cert_chain(settings["certificate"], settings["key"])
        self._connection: http.client.HTTPSConnection | None = None

    def put(self, body: str) -> bool:
        """Whether etcd acknowledged the write."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    self._address.hostname or "", self._address.port, timeout=_TIMEOUT, context=self._context
                )
            self._connection.request("POST", "/v3/kv/put", body)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            self._connection = None
            return False


def bodies(size: int) -> list[str]:
    """Requests that write values of a size in bytes."""
    value = base64.b64encode(bytes(size)).decode()
    keys = (base64.b64encode(f"/load/{number:06d}".encode()).decode() for number in range(_KEYS))
    return [json.dumps({"key": key, "value": value}) for key in keys]


def write(
    line: Line, number: int, settings: dict[str, Any], begin: float, end: threading.Event, into: list[Any]
) -> None:
    """One connection's share of the schedule."""
    requests = bodies(settings["value_bytes"])
    rate, connections = settings["rate"], settings["connections"]
    turn = number
    while True:
        due = begin + turn / rate
        if end.wait(max(0.0, due - time.monotonic())):
            return
        written = line.put(requests[turn % _KEYS])
        into.append((due, (time.monotonic() - due) if written else -1.0))
        turn += connections


def main(settings_file: str, result: str) -> None:
    settings = json.loads(Path(settings_file).read_text())
    samples: list[tuple[float, float]] = []
    end, begin = threading.Event(), time.monotonic() + 0.5
    threads = [
        threading.Thread(
            target=write, args=(Line(settings, number), number, settings, begin, end, samples), daemon=True
        )
        for number in range(settings["connections"])
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    end.set()
    for thread in threads:
        thread.join()
    Path(result).write_bytes(b"".join(SAMPLE.pack(*sample) for sample in samples))


if __name__ == "__main__":
    main(*sys.argv[1:])
