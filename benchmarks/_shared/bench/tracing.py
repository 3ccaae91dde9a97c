# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of a backup goes, seen from outside: by the programs that the agent runs, one after another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PROGRAMS = ("etcdctl", "etcdutl", "zstd", "age", "rclone")
PHASES = ("look", "snapshot", "verify", "count", "seal", "checksum", "upload", "read back", "manifest")
_STAND_IN = Path(__file__).with_name("traced_program")


@dataclass(frozen=True)
class Call:
    """A program that ran. Moments are of the monotonic clock; `cpu` are seconds."""

    program: str
    verb: str
    begin: float
    end: float
    cpu: float


class Trace:
    """A directory for the front of a PATH, with programs that note their times and run the real ones."""

    def __init__(self, directory: Path, path: str) -> None:
        self.directory = directory
        directory.mkdir()
        real = {name: shutil.which(name, path=path) for name in PROGRAMS}
        missing = [name for name, found in real.items() if found is None]
        if missing:
            raise FileNotFoundError(f"not on the path: {', '.join(missing)}")
        (directory / "real").write_text(json.dumps(real))
        for name in PROGRAMS:
            (directory / name).symlink_to(_STAND_IN)

    def calls(self) -> list[Call]:
        """Return what ran since the last time this was asked."""
        file = self.directory / "trace"
        lines = file.read_text().splitlines()
        file.unlink()
        return sorted((Call(**json.loads(line)) for line in lines), key=lambda call: call.begin)


def phases(calls: Sequence[Call], begin: float, end: float) -> dict[str, tuple[float, float]]:
    """Return (begin, end) by phase of one backup that went to one store. ValueError where calls are missing. Pure.

    What the agent does itself, between programs, has the time that is left: it counts keys by the API of etcd before it
    seals, and sums the sealed file up before it uploads it.
    """

    def first(program: str, *verbs: str, after: float = begin) -> Call:
        for call in calls:
            if call.program == program and call.begin >= after and (not verbs or call.verb in verbs):
                return call
        raise ValueError(f"{program} {'/'.join(verbs)} did not run")

    save = first("etcdctl", "snapshot")
    status = first("etcdutl", "snapshot", after=save.end)
    pack, lock = first("zstd", after=status.end), first("age", after=status.end)
    upload = first("rclone", "copyto", after=lock.end)
    back = first("rclone", "cat", after=upload.end)
    sealed = max(pack.end, lock.end)
    seal_begin, sealed = min(pack.begin, lock.begin), max(pack.end, lock.end)
    borders = [begin, save.begin, save.end, status.end, seal_begin, sealed, upload.begin, upload.end, back.end, end]
    return dict(zip(PHASES, pairwise(borders), strict=True))
