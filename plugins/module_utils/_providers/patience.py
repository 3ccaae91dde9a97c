# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying again what may yet succeed, for as long as is reasonable."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .errors import ProviderError, TransientError

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Patience:
    """How long a step that may yet succeed is tried again, in seconds. The clock and the sleep are injected."""

    limit: float = 300
    first: float = 0.2
    longest: float = 5
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, step: Callable[[int], Outcome]) -> Outcome:
        """What `step` returns in the end. It is given the number of attempts before."""
        deadline = self.clock() + self.limit
        pause, attempts = self.first, 0
        while True:
            try:
                return step(attempts)
            except TransientError as error:
                if self.clock() + pause > deadline:
                    raise ProviderError(f"not within {self.limit:g} s, last seen: {error}") from error
                # Steps that met the same limit at the same time do not meet it again together.
                self.sleep(pause * random.uniform(0.5, 1.0))
                pause, attempts = min(pause * 2, self.longest), attempts + 1
