# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A traced program does what the real one does, and is noted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from bench.tracing import PROGRAMS, Trace


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Programs that pass their input on, and end with 3."""
    directory = tmp_path / "real"
    directory.mkdir()
    for name in PROGRAMS:
        (directory / name).write_text('#!/bin/sh\nprintf "%s " "$@"; cat; exit 3\n')
        (directory / name).chmod(0o755)
    return directory


def test_a_traced_program_is_the_real_one(tmp_path: Path, real: Path) -> None:
    trace = Trace(tmp_path / "trace", f"{real}:/bin:/usr/bin")
    for verb in ("copyto", "cat"):
        done = subprocess.run([trace.directory / "rclone", verb, "x"], input=b"data", capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (3, f"{verb} x data".encode())
    calls = trace.calls()
    assert [(call.program, call.verb) for call in calls] == [("rclone", "copyto"), ("rclone", "cat")]
    assert calls[0].begin < calls[0].end <= calls[1].begin


def test_a_program_that_is_missing_is_named(tmp_path: Path, real: Path) -> None:
    (real / "age").unlink()
    with pytest.raises(FileNotFoundError, match="age"):
        Trace(tmp_path / "trace", str(real))
