# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories in memory: a snapshot in the clear is never on a disk."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


def require_room(directory: Path, wanted: int) -> None:
    """BackupError unless so many bytes are free."""
    free = shutil.disk_usage(directory).free
    if free < wanted:
        raise BackupError(
            f"the database has {wanted / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free in {directory.parent}, which is "
            "in memory: change etcd_backup_memory"
        )
