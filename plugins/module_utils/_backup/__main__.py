# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: `python3 -m caravan_backup VERB`, installed as `caravan-backup`.

    run     store what is due: the identity where it changed, a snapshot where the interval has none (the timer's)
    now     the same, with a snapshot whatever there is
    list    show the backups
    drill   prove that the newest ones can be restored (on a backup host)
    prune   remove what the retention no longer wants (on a backup host)

Exit codes: 0 all is well, 1 something failed, 2 it could not even begin.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import agent, config, drill_verb, listing, prune_verb, report
from .config import Config
from .errors import BackupError

FAILED, UNUSABLE = 1, 2
_LOCK = "lock"
# How long `now` waits for a run that is under way.
_PATIENCE = 1800


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="caravan-backup", description="Backups of this cluster's etcd.")
    parser.add_argument("--config", type=Path, default=config.FILE, help="the configuration")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="store what is due")
    verbs.add_parser("now", help="take a backup")
    foresee = verbs.add_parser("foresee", help="say, as JSON, what would be done; do nothing")
    foresee.add_argument("--max-age", type=float, default=0, help="seconds; a backup that is not older will do")
    shown = verbs.add_parser("list", help="show the backups")
    shown.add_argument("--json", action="store_true", help="as JSON")
    drill_verb.add(verbs)
    prune_verb.add(verbs)
    given = parser.parse_args(arguments)
    if hasattr(given, "run"):
        # A verb of backup hosts, with a configuration of its own.
        return int(given.run(given))
    try:
        settings = config.load(given.config)
        if given.verb == "list":
            return _list(settings, given.json)
        if given.verb == "foresee":
            return _foresee(settings, given.max_age)
        return _take(settings, given.verb)
    except BackupError as error:
        _complain(str(error))
        return UNUSABLE


def _take(settings: Config, verb: str) -> int:
    now = datetime.datetime.now(datetime.timezone.utc)
    with _locked(settings, 0 if verb == "run" else _PATIENCE) as locked:
        if not locked:
            _say("another run on this host is under way")
            return 0 if verb == "run" else FAILED
        start = agent.slot_start(now, settings.interval) if verb == "run" else None
        result = agent.Run(settings, start, _say).do()
        for name, store in result.stores.items():
            if store.error:
                _complain(store.error)
            elif not store.taken and store.time:
                _say(f"store {name}: its newest backup is of {store.time}")
        if result.error:
            _complain(result.error)
        # A full disk is no reason to go without a backup.
        try:
            report.write_result(settings, result, verb)
            report.write_metrics(settings, result)
        except OSError as error:
            _complain(f"what was done cannot be written down: {error.strerror} ({settings.state}, {settings.metrics})")
    return 0 if result.passed else FAILED


def _foresee(settings: Config, max_age: float) -> int:
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=max_age) if max_age else None
    print(json.dumps(agent.Run(settings, start, lambda text: None).foresee().plain()))
    return 0


def _list(settings: Config, as_json: bool) -> int:
    found = listing.read_all(settings.stores, settings.cluster)
    if as_json:
        backups = [backup.plain() for backup in found.backups]
        print(json.dumps({"backups": backups, "errors": found.errors, "stores": len(settings.stores)}))
        return 0
    for backup in found.backups:
        said = backup.manifest
        places = ", ".join([*sorted(backup.stores), *(f"{name} (damaged)" for name in sorted(backup.damaged))])
        print(f"{backup.name.short}  {said.time}  revision {said.revision}  {said.bytes} bytes  {places}")
    for error in found.errors.values():
        _complain(error)
    return FAILED if found.errors else 0


@contextmanager
def _locked(settings: Config, patience: float) -> Iterator[bool]:
    """Whether this is the only run on the host. The lock goes with the process that holds it."""
    settings.state.mkdir(mode=0o755, parents=True, exist_ok=True)
    end = time.monotonic() + patience
    with (settings.state / _LOCK).open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    yield False
                    return
                time.sleep(0.2)
                continue
            yield True
            return


def _say(text: str) -> None:
    print(text, flush=True)


def _complain(text: str) -> None:
    # systemd's journal takes the number for the priority "error".
    print(f"<3>{text}" if os.environ.get("JOURNAL_STREAM") else text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
