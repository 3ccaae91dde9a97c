# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fault at a time, watched by the prober from before it until the cluster has got over it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from . import prober
from .cluster import Cluster
from .prober import Prober, Record
from .waiting import wait_until

# Probes before a fault show that the prober itself is well; so long without a failed one afterwards, the fault is over.
CALM_BEFORE, CALM_AFTER = 1.5, 3.0


@dataclass(frozen=True)
class Outcome:
    """What the prober saw of a fault. Seconds; `outage` is the longest time without an acknowledgement."""

    outage: float
    outage_of_recovery: float
    record: Record
    lost: list[str]

    def __str__(self) -> str:
        probes, good = len(self.record.probes), len(self.record.acknowledged())
        errors = ", ".join(f"{count} x {error}" for error, count in self.record.errors().most_common(4))
        return (
            f"outage {self.outage:.2f} s, on recovery {self.outage_of_recovery:.2f} s, {good} of {probes} writes "
            f"acknowledged, {len(self.lost)} lost; errors: {errors or 'none'}"
        )


def endure(
    cluster: Cluster, node: str, kind: str, fault: Callable[[], AbstractContextManager[None]], *, limit: float
) -> Outcome:
    """Probe, make the fault, hold it until the API is calm again or for `limit` seconds, undo it, wait for health.

    Returns what was measured; judging is the test's.
    """
    name = f"{kind}-{node}"
    api = cluster.api()
    prober.prepare(api)
    with Prober(prober.config_map_writer(api), prefix=name) as watch:
        _wait_calm(watch)
        begin = watch.clock()
        with fault():
            while watch.clock() - begin < limit:
                time.sleep(0.1)
                # A fault needs its time to be felt, so the first calm after it proves nothing.
                if watch.clock() - begin > 2 * CALM_AFTER and watch.quiet_since() > CALM_AFTER:
                    break
            end = watch.clock()
        cluster.wait_healthy(f"after {name}", heard_of=[node])
        healthy = watch.clock()
        time.sleep(0.5)
    outcome = Outcome(
        outage=watch.record.outage(begin, end),
        outage_of_recovery=watch.record.outage(end, healthy),
        record=watch.record,
        lost=watch.record.lost(prober.written(api)),
    )
    prober.clean(api)
    return outcome


def _wait_calm(watch: Prober) -> None:
    """Wait until the prober has seen a while of acknowledgements alone: what was slow before is not the fault's."""

    def look() -> tuple[bool, str]:
        calm = watch.acknowledged_since(0) > 0 and watch.quiet_since() >= CALM_BEFORE
        return calm, f"{len(watch.record.acknowledged())} acknowledged, errors: {dict(watch.record.errors())}"

    wait_until("a calm API before the fault", look, 30, interval=0.1)
