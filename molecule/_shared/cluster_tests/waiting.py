# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting that says what it saw last."""

from __future__ import annotations

import time
from collections.abc import Callable


class StillWaitingError(AssertionError):
    """What was waited for did not come in time."""


def wait_until(
    what: str,
    look: Callable[[], tuple[bool, str]],
    timeout: float,
    *,
    interval: float = 0.3,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Call `look` until its first value is true; return the seconds it took.

    `look` returns (done, what it saw). An exception it raises counts as "not yet" and is what was seen, so that a look
    at an API server which is down needs no care of its own.
    """
    started = clock()
    while True:
        try:
            done, seen = look()
        except Exception as error:  # whatever a node in trouble makes of a look: it is "not yet"
            done, seen = False, f"{type(error).__name__}: {error}"
        elapsed = clock() - started
        if done:
            return elapsed
        if elapsed >= timeout:
            raise StillWaitingError(f"{what}: not after {elapsed:.1f} s; seen last: {seen}")
        sleep(interval)
