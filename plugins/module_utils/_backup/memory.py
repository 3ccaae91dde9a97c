# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories and files in memory: a snapshot in the clear is never on a disk."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import BackupError

_IN_MEMORY = ("tmpfs", "ramfs")
_MOUNTS = Path("/proc/self/mountinfo")
_PREFIX = "run-"


def file_system(path: str, mounts: str) -> str:
    """Return the type of the file system a path lies on, by the text of /proc/self/mountinfo. Pure."""
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), left.split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # The last one mounted at a place is the one that is seen.
        if inside and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    return kind


@contextlib.contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A directory of one's own in memory, empty, that is removed. What a killed run left there is removed first."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kind = file_system(str(parent.resolve()), _MOUNTS.read_text(encoding="utf-8"))
    if kind not in _IN_MEMORY:
        raise BackupError(
            f"{parent} is on a disk ({kind}), wanted a tmpfs: the snapshot is in the clear there. Start the service "
            "caravan-etcd-backup-now.service, which has one"
        )
    for old in parent.glob(f"{_PREFIX}*"):
        shutil.rmtree(old, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def anonymous(name: str) -> Iterator[tuple[IO[bytes], str]]:
    """A file in memory, and the path under which this process' children open it.

    It is in no file system, so that no tmpfs has to be large enough for it, and gone with the process, killed or not.
    """
    with os.fdopen(os.memfd_create(name), "wb") as stream:
        yield stream, f"/proc/{os.getpid()}/fd/{stream.fileno()}"


def available(meminfo: str) -> int:
    """Return the bytes of memory that can be had, by the text of /proc/meminfo; 0 where it does not say. Pure."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def require_room(directory: Path, wanted: int) -> None:
    """BackupError unless so many bytes are free."""
    free = shutil.disk_usage(directory).free
    if free < wanted:
        raise BackupError(
            f"the database has {wanted / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free in {directory.parent}, which is "
            "in memory: change etcd_backup_memory"
        )
