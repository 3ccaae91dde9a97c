# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS by moto in a process of its own, which counts what it is asked.

As a program it writes its address, then a line {"calls": ..., "mutating": ...} for every line that it reads, since the
one before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field

from . import BENCHMARKS

TESTS = BENCHMARKS.parent / "tests"
PATHS = [str(BENCHMARKS / "_shared"), str(TESTS), str(TESTS / "integration" / "providers")]


@dataclass
class Server:
    """One account. A context manager."""

    url: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def __enter__(self) -> Server:
        program = f"import sys; sys.path[:0] = {PATHS!r}; from bench.aws_server import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._line()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()

    def calls(self) -> dict[str, int]:
        """How many since the last time."""
        if self.process is None or self.process.stdin is None:
            raise RuntimeError("the server is not running")
        print(file=self.process.stdin, flush=True)
        counted: dict[str, int] = json.loads(self._line())
        return counted

    def _line(self) -> str:
        line = self.process.stdout.readline() if self.process and self.process.stdout else ""
        if not line:
            raise RuntimeError("moto's server has not started, or has ended")
        return line.strip()


def serve() -> None:
    import conftest  # noqa: F401  the collection by its name
    from aws_backend import AwsBackend

    backend = AwsBackend()
    print(backend.url, flush=True)
    for _line in sys.stdin:
        print(
            json.dumps({"calls": len(backend.traffic.requests), "mutating": len(backend.traffic.mutating)}), flush=True
        )
        backend.traffic.clear()
    backend.stop()
