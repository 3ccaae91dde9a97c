# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`caravan_backup prune`: prune the stores of /etc/caravan/backup/keeper.json, and say what stays, what goes, and why.

In `keeper.json` it goes by `cluster`, `stores`, `state`, `metrics` and `prune`, which has the fields of
`retention.Policy`. Exit code: 0 when all stores are as they should be, 1 when one is not, 2 when nothing could be done.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import config, metrics, prune, retention
from .drill_verb import FILE, choose
from .errors import BackupError
from .stores import Store

REPORT = "prune.json"
TEXTFILE = "caravan_etcd_prune.prom"
METRICS = {
    "caravan_etcd_prune_success": ("gauge", "Whether the store was pruned as it should be at the last run."),
    "caravan_etcd_prune_last_success_timestamp_seconds": ("gauge", "When the store was last pruned as it should be."),
    "caravan_etcd_prune_snapshots": ("gauge", "Snapshots in the store that stay."),
    "caravan_etcd_prune_overwritten": ("gauge", "Objects that were written more than once, which no agent does."),
    "caravan_etcd_prune_removed_total": ("counter", "Objects that were removed, with their manifests."),
}


@dataclass(frozen=True)
class Settings:
    """What `keeper.json` says about pruning."""

    cluster: str
    stores: list[Store]
    state: Path
    metrics: Path
    policy: retention.Policy


def add(verbs: Any) -> None:
    """Make the verb known to the program."""
    parser = verbs.add_parser("prune", help="remove the backups that the retention no longer wants")
    parser.add_argument("--config", type=Path, default=FILE, help="configuration (default: %(default)s)")
    parser.add_argument("--store", action="append", default=[], help="only this store; may be given several times")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, only say what would be removed")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    try:
        settings = load(arguments.config)
        chosen = choose(settings.stores, arguments.store)
    except BackupError as error:
        print(f"prune: {error}", file=sys.stderr)
        return 2
    now = datetime.datetime.now(datetime.timezone.utc)
    results = [prune.prune(store, settings.cluster, settings.policy, now, arguments.dry_run) for store in chosen]
    print(text(results, arguments.dry_run))
    if not arguments.dry_run:
        try:
            report = {
                "cluster": settings.cluster,
                "time": now.isoformat(),
                "stores": [each.plain() for each in results],
            }
            metrics.replace(settings.state / REPORT, (json.dumps(report, indent=1) + "\n").encode())
            _write_metrics(settings, results, now)
        except OSError as error:
            print(f"prune: the report cannot be written: {error}", file=sys.stderr)
            return 2
    return 0 if all(result.good for result in results) else 1


def load(path: Path) -> Settings:
    """Read the configuration of a backup host. ConfigError says what is wrong with it."""
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Settings(
            cluster=str(document["cluster"]),
            stores=config.stores(document["stores"], path.parent),
            state=Path(document["state"]),
            metrics=Path(document["metrics"]),
            policy=prune.policy_of(dict(document["prune"])),
        )
    except OSError as error:
        raise config.ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise config.ConfigError(f"{path} is no configuration of a backup host: {error!r}") from error


def text(results: Sequence[prune.Result], dry_run: bool) -> str:
    """Return a report for people."""
    lines = []
    for result in results:
        shown = result.plain()
        lines.append(f"store {result.store}")
        for kind in ("pruned", "kept"):
            word = "would go" if kind == "pruned" and dry_run else {"pruned": "goes", "kept": "stays"}[kind]
            lines += [f"  {word:<8}  {entry['name']}  ({', '.join(entry['reasons'])})" for entry in shown[kind]]
        lines += [f"  foreign   {key}  (not ours, left alone)" for key in shown["foreign"]]
        lines += [f"  WARNING   {name} was written more than once" for name in shown["overwritten"]]
        lines += [f"  FAILED    {name}: {words}" for name, words in shown["failed"].items()]
        lines += [f"  NOTE      {words}" for words in [shown["refused"]] if words]
        lines += [f"  FAILED    {words}" for words in [shown["error"]] if words]
        done = "" if dry_run else f", {len(result.removed)} removed ({result.removed_bytes / 1e6:.1f} MB)"
        locked = f", {len(result.locked)} keys locked for longer" if result.locked else ""
        lines.append(f"  {len(shown['kept'])} stay{done}{locked}")
    return "\n".join(lines)


def _write_metrics(settings: Settings, results: Sequence[prune.Result], now: datetime.datetime) -> None:
    path = settings.metrics / TEXTFILE
    samples = metrics.read(path, METRICS)
    samples.keep("store", {store.name for store in settings.stores})
    for result in results:
        of = {"cluster": settings.cluster, "store": result.store}
        samples.put("caravan_etcd_prune_success", float(result.good), **of)
        samples.add("caravan_etcd_prune_removed_total", len(result.removed), **of)
        if result.good:
            samples.put("caravan_etcd_prune_last_success_timestamp_seconds", now.timestamp(), **of)
        if not result.error:
            snapshots = [unit for unit in result.plan.staying if "/etcd/" in unit.key]
            samples.put("caravan_etcd_prune_snapshots", len(snapshots), **of)
            overwritten = [unit for unit in result.plan.units if unit.overwritten]
            samples.put("caravan_etcd_prune_overwritten", len(overwritten), **of)
    metrics.write(path, samples)
