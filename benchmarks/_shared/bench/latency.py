# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Latencies of writes, and what they were in given stretches of time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# (when it was due, seconds until it was acknowledged; below zero: it was not)
Sample = tuple[float, float]
# From one moment to another, on the clock of the samples.
Window = tuple[float, float]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of acknowledged writes, and the number of all."""

    writes: int
    refused: int
    p50: float
    p99: float
    longest: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all does not exceed; `values` are sorted. NaN where there are none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def within(samples: Iterable[Sample], windows: Iterable[Window]) -> list[Sample]:
    """Return the samples that were due in one of the windows."""
    limits = list(windows)
    return [sample for sample in samples if any(begin <= sample[0] < end for begin, end in limits)]


def latency(samples: Iterable[Sample]) -> Latency:
    listed = list(samples)
    taken = sorted(seconds * 1000 for _, seconds in listed if seconds >= 0)
    return Latency(
        writes=len(listed),
        refused=len(listed) - len(taken),
        p50=percentile(taken, 0.50),
        p99=percentile(taken, 0.99),
        longest=percentile(taken, 1.0),
    )
