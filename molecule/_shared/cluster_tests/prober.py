# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A prober of the API: writes at a fixed rate through the endpoint's name, and what was acknowledged when.

Open loop: a probe starts every 1/rate seconds whether or not the last one has come back, each over its own connection,
so that one stuck probe hides nothing. The outage is the longest time between two acknowledgements.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

from .api import Api

NAMESPACE = "caravan-probe"
_CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


@dataclass(frozen=True)
class Probe:
    """One write: seconds on the prober's clock, and the error where there was one."""

    name: str
    started: float
    ended: float
    error: str | None


def longest_gap(acknowledged: Iterable[float], begin: float, end: float) -> float:
    """Return the longest time in [begin, end] without an acknowledgement, edges included, in seconds."""
    times = [begin, *sorted(moment for moment in acknowledged if begin <= moment <= end), end]
    return max(later - earlier for earlier, later in zip(times, times[1:]))


@dataclass
class Record:
    """All probes of one run."""

    probes: list[Probe] = field(default_factory=list)

    def acknowledged(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.error is None]

    def outage(self, begin: float, end: float) -> float:
        return longest_gap((probe.ended for probe in self.acknowledged()), begin, end)

    def errors(self) -> Counter[str]:
        return Counter(probe.error for probe in self.probes if probe.error is not None)

    def lost(self, present: set[str]) -> list[str]:
        """Return the acknowledged writes that are not there."""
        return sorted(probe.name for probe in self.acknowledged() if probe.name not in present)


class Prober:
    """Context manager: probes from entry to exit.

    `write` performs one write of the given name and raises when it was not acknowledged.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        prefix: str,
        rate: float = 20,
        workers: int = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.record = Record()
        self.clock = clock
        self._write = write
        self._prefix = prefix
        self._period = 1 / rate
        self._workers = workers
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def quiet_since(self) -> float:
        """Return the seconds since the last failed probe ended (since the start when none failed)."""
        with self._lock:
            failed = [probe.ended for probe in self.record.probes if probe.error is not None]
            first = self.record.probes[0].started if self.record.probes else self.clock()
        return self.clock() - max([first, *failed])

    def acknowledged_since(self, moment: float) -> int:
        with self._lock:
            return sum(1 for probe in self.record.acknowledged() if probe.started >= moment)

    def _run(self) -> None:
        with ThreadPoolExecutor(self._workers, thread_name_prefix="probe") as pool:
            number = 0
            due = self.clock()
            while not self._stop.is_set():
                pool.submit(self._probe, f"{self._prefix}-{number}")
                number += 1
                due += self._period
                self._stop.wait(max(0.0, due - self.clock()))

    def _probe(self, name: str) -> None:
        started = self.clock()
        error: str | None = None
        try:
            self._write(name)
        except Exception as problem:  # every way to fail is a finding, none may end the prober
            error = f"{type(problem).__name__}: {problem}"
        probe = Probe(name, started, self.clock(), error)
        with self._lock:
            self.record.probes.append(probe)


def config_map_writer(api: Api, *, timeout: float = 1) -> Callable[[str], None]:
    """Return a write that creates one ConfigMap over a fresh TLS connection; 201 is the acknowledgement."""

    def write(name: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        answer = api.request("POST", _CONFIGMAPS, body, timeout=timeout)
        if answer.status != 201:
            raise RuntimeError(f"status {answer.status}")

    return write


def prepare(api: Api) -> None:
    """Make the prober's namespace, and have nothing in it."""
    answer = api.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    if answer.status not in (201, 409):
        raise RuntimeError(f"namespace {NAMESPACE}: {answer.status} {answer.body[:300]}")
    if answer.status == 409:
        clean(api)


def written(api: Api) -> set[str]:
    """Return the names of all writes that are there."""
    return {item["metadata"]["name"] for item in api.get(_CONFIGMAPS)["items"]}


def clean(api: Api) -> None:
    """Remove all writes."""
    answer = api.request("DELETE", _CONFIGMAPS, timeout=60)
    if answer.status != 200:
        raise RuntimeError(f"removal of the writes: {answer.status} {answer.body[:300]}")
