# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory a process, all that it starts, and a directory in memory take at most."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_INTERVAL = 0.2


class Peak:
    """Bytes. Each part has its own peak; `both` is the peak of their sum."""

    def __init__(self) -> None:
        self.processes = self.files = self.both = 0

    def note(self, processes: int, files: int) -> None:
        self.processes = max(self.processes, processes)
        self.files = max(self.files, files)
        self.both = max(self.both, processes + files)


def family(pid: int) -> Iterator[int]:
    """A process and its descendants, as far as they are still there."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield from family(int(child))


def anonymous(pid: int) -> int:
    """Bytes that a process has for itself: not what it maps of files, which may be in memory themselves."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


@contextmanager
def watched(pid: int, directory: Path) -> Iterator[Peak]:
    """Looks five times a second. `directory` is a file system of its own."""
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(_INTERVAL):
            peak.note(sum(map(anonymous, family(pid))), shutil.disk_usage(directory).used)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
