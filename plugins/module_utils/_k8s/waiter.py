# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, with the clock given from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import ApiUnreachable, KubernetesError

# What is still missing, in words; empty when all is there.
Observe = Callable[[], Sequence[str]]


class WaitTimeout(KubernetesError):
    """The time is over; the message says what was seen last, `missing` the same one by one."""

    def __init__(self, elapsed: float, missing: Sequence[str]) -> None:
        super().__init__(f"not ready after {elapsed:.0f} s; seen last: " + "; ".join(missing))
        self.elapsed = elapsed
        self.missing = list(missing)


@dataclass(frozen=True)
class Waiter:
    """Asks again every `interval` seconds until nothing is missing or `timeout` seconds have passed."""

    timeout: float
    interval: float = 0.5
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(self, observe: Observe) -> float:
        """Seconds waited. An API that does not answer is one more thing to wait for; any other error is raised."""
        started = self.clock()
        while True:
            try:
                missing = list(observe())
            except ApiUnreachable as error:
                missing = [f"the API does not answer: {error}"]
            elapsed = self.clock() - started
            if not missing:
                return elapsed
            if elapsed + self.interval > self.timeout:
                raise WaitTimeout(elapsed, missing)
            self.sleep(self.interval)
