# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`caravan_backup drill`: drill the stores of /etc/caravan/backup/keeper.json, and say how it went.

The verdict is the exit code (0: all stores passed, 1: one failed, 2: no drill could be made), a JSON report, metrics,
and text on standard output.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import config, drill, drill_run, metrics
from .errors import BackupError
from .stores import Store

FILE = config.DIRECTORY / "keeper.json"
REPORT = "drill.json"
TEXTFILE = "caravan_etcd_drill.prom"


@dataclass(frozen=True)
class Keeper:
    """What a backup host goes by. `state`: a directory for the report; `metrics`: one for textfiles."""

    node: str
    stores: list[Store]
    state: Path
    metrics: Path
    settings: drill_run.Settings


def add(verbs: Any) -> None:
    """Make the verb known to the program."""
    parser = verbs.add_parser("drill", help="restore the newest backup of each store into a throw-away etcd")
    parser.add_argument("--config", type=Path, default=FILE, help="configuration (default: %(default)s)")
    parser.add_argument("--store", action="append", default=[], help="only this store; may be given several times")
    parser.add_argument("--backup", default="", help="this backup (its name, or its time) in place of the newest one")
    parser.add_argument("--api-server", action="store_true", help="start an API server on what was restored, too")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    try:
        keeper = load(arguments.config)
        chosen = choose(keeper.stores, arguments.store)
    except BackupError as error:
        print(f"drill: {error}", file=sys.stderr)
        return 2
    settings = replace(
        keeper.settings,
        backup=arguments.backup,
        api_server=arguments.api_server or keeper.settings.api_server,
    )
    started = datetime.datetime.now(datetime.timezone.utc)
    stores = [_drill(settings, store) for store in chosen]
    finished = datetime.datetime.now(datetime.timezone.utc)
    report = drill.document(settings.cluster, keeper.node, started, stores)
    print(drill.text(report))
    try:
        metrics.replace(keeper.state / REPORT, (json.dumps(report, indent=1) + "\n").encode())
        # A drill of an older backup says nothing about the newest one.
        if not arguments.backup:
            _write_metrics(keeper, report, finished)
    except OSError as error:
        print(f"drill: the verdict cannot be written: {error}", file=sys.stderr)
        return 2
    return 0 if report["verdict"] == drill.PASSED else 1


def load(path: Path) -> Keeper:
    """Read the configuration of a backup host. ConfigError says what is wrong with it."""
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told = document["drill"]
        return Keeper(
            node=str(document["node"]),
            stores=config.stores(document["stores"], path.parent),
            state=Path(document["state"]),
            metrics=Path(document["metrics"]),
            settings=drill_run.Settings(
                cluster=str(document["cluster"]),
                identity_file=str(document["identity_file"]),
                work=str(document["work"]),
                max_age=datetime.timedelta(seconds=float(told["max_age"])),
                grace=datetime.timedelta(seconds=float(told["grace"])),
                timeout=float(told["timeout"]),
                api_server=bool(told["api_server"]),
            ),
        )
    except OSError as error:
        raise config.ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise config.ConfigError(f"{path} is no configuration of a backup host: {error!r}") from error


def choose(stores: Sequence[Store], names: Sequence[str]) -> list[Store]:
    """Return the stores of these names; all without names."""
    known = {store.name: store for store in stores}
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        raise BackupError(f"there is no store {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    return [known[name] for name in names] if names else list(stores)


def _drill(settings: drill_run.Settings, store: Store) -> drill.StoreReport:
    try:
        return drill_run.run(settings, store)
    except BackupError as error:
        # It is the verdict all the same: nothing is proven.
        return drill.StoreReport(store.name, [drill.failed("store", str(error))])


def _write_metrics(keeper: Keeper, report: Mapping[str, Any], finished: datetime.datetime) -> None:
    path = keeper.metrics / TEXTFILE
    samples = metrics.read(path, drill.METRICS)
    samples.keep("cluster", {keeper.settings.cluster})
    samples.keep("store", {store.name for store in keeper.stores})
    drill.measure(samples, report, finished)
    metrics.write(path, samples)
