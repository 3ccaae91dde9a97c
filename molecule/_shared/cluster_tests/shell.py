# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local commands, with their output when they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What a command left."""

    command: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


class CommandError(AssertionError):
    """A command that had to work did not."""


def run(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run a command to its end; with `check`, anything but 0 raises CommandError with both outputs."""
    try:
        done = subprocess.run(
            list(command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            errors="replace",
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired as expired:
        raise CommandError(f"{' '.join(command)}: not done after {timeout} s") from expired
    result = Result(tuple(command), done.returncode, done.stdout, done.stderr)
    if check and result.code != 0:
        raise CommandError(f"{' '.join(command)}: exit code {result.code}\n{result.text}")
    return result
