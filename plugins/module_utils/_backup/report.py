# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves for others to see: metrics, and its result as JSON."""

from __future__ import annotations

import datetime
import json

from . import metrics
from .agent import Result
from .config import Config
from .names import parse_time

FILE = "etcd_backup.prom"
_PREFIX = "caravan_etcd_backup"
DESCRIBED = {
    f"{_PREFIX}_last_success_timestamp_seconds": (
        "gauge",
        "When the newest verified backup in the store was begun, as this host saw it last.",
    ),
    f"{_PREFIX}_size_bytes": ("gauge", "Size of that backup as it is stored."),
    f"{_PREFIX}_duration_seconds": ("gauge", "What storing and reading back took when this host did it last."),
    f"{_PREFIX}_failures_total": ("counter", "Runs of this host in which something failed for the store."),
    f"{_PREFIX}_last_run_timestamp_seconds": ("gauge", "When this host looked last."),
    f"{_PREFIX}_interval_seconds": ("gauge", "How old a backup may be before another one is wanted."),
}


def measured(config: Config, result: Result, before: metrics.Metrics, now: datetime.datetime) -> metrics.Metrics:
    """Return the metrics after a run. Pure: `before` is changed and returned."""
    before.keep("store", {store.name for store in config.stores})
    before.keep("cluster", {config.cluster})
    for name, store in result.stores.items():
        labels = {"cluster": config.cluster, "store": name}
        # What concerns no store in particular kept all of those that wanted something from theirs.
        failed = bool(store.error) or (bool(result.error) and not store.taken)
        before.add(f"{_PREFIX}_failures_total", 1 if failed else 0, **labels)
        if store.time:
            begun = parse_time(store.time)
            before.put(f"{_PREFIX}_last_success_timestamp_seconds", begun.timestamp(), **labels)
            before.put(f"{_PREFIX}_size_bytes", store.bytes, **labels)
        if store.taken:
            before.put(f"{_PREFIX}_duration_seconds", store.seconds, **labels)
    before.put(f"{_PREFIX}_last_run_timestamp_seconds", int(now.timestamp()), cluster=config.cluster)
    before.put(f"{_PREFIX}_interval_seconds", config.interval, cluster=config.cluster)
    return before


def write_metrics(config: Config, result: Result) -> None:
    """OSError when the disk is full, say."""
    path = config.metrics / FILE
    now = datetime.datetime.now(datetime.timezone.utc)
    metrics.write(path, measured(config, result, metrics.read(path, DESCRIBED), now))


def write_result(config: Config, result: Result, verb: str) -> None:
    """OSError when the disk is full, say."""
    metrics.replace(config.state / f"{verb}.json", (json.dumps(result.plain(), indent=1) + "\n").encode())
