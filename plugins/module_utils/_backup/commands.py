# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run programs, alone or piped into one another. No shell; secrets never among the arguments."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .errors import CommandError

# Programs that Caravan installs itself come first.
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment programs get: little, and the same everywhere."""
    path = os.environ.get("PATH", "")
    return {"PATH": f"{path}:{PATH}" if path else PATH, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **(more or {})}


def run(
    arguments: Sequence[str],
    timeout: float,
    environ: Mapping[str, str] | None = None,
    data: bytes | None = None,
) -> bytes:
    """Return what a program printed.

    CommandError with its last words when it fails, or takes more than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            list(arguments), input=data, capture_output=True, timeout=timeout, env=environment(environ), check=False
        )
    except FileNotFoundError as error:
        raise CommandError(f"the program {arguments[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{_title(arguments)} took more than {timeout:g} s") from error
    if done.returncode != 0:
        raise CommandError(f"{_title(arguments)} ended with {done.returncode}: {_last_words(done.stderr)}")
    return done.stdout


def pipe(first: Sequence[str], second: Sequence[str], source: str, target: str, timeout: float) -> None:
    """Run `first < source | second > target`. The target is complete or absent afterwards."""
    partial = Path(f"{target}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as writer:
            pipe_into(first, second, source, writer, timeout)
            os.fsync(writer.fileno())
        partial.replace(target)
    except FileNotFoundError as error:
        raise CommandError(f"not found: {error.filename}") from error
    finally:
        partial.unlink(missing_ok=True)


def pipe_into(first: Sequence[str], second: Sequence[str], source: str, writer: IO[bytes], timeout: float) -> None:
    """Run `first < source | second`, and have what the second one prints written to an open file."""
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as more_errors:
        try:
            with Path(source).open("rb") as reader:
                one = subprocess.Popen(
                    list(first), stdin=reader, stdout=subprocess.PIPE, stderr=errors, env=environment()
                )
                try:
                    two = subprocess.Popen(
                        list(second), stdin=one.stdout, stdout=writer, stderr=more_errors, env=environment()
                    )
                except OSError:
                    one.kill()
                    one.wait()
                    raise
                _output(one).close()
                try:
                    two.wait(timeout)
                    one.wait(timeout)
                except subprocess.TimeoutExpired as error:
                    raise CommandError(f"{first[0]} and {second[0]} took more than {timeout:g} s") from error
                finally:
                    for process in (one, two):
                        if process.poll() is None:
                            process.kill()
                            process.wait()
        except FileNotFoundError as error:
            raise CommandError(f"not found: {error.filename}") from error
        for process, arguments, words in ((one, first, errors), (two, second, more_errors)):
            # Of a broken pipe the second one is the cause, and of an early end of its input the first one.
            if process.returncode not in (0, -signal.SIGPIPE):
                words.seek(0)
                raise CommandError(f"{_title(arguments)} ended with {process.returncode}: {_last_words(words.read())}")


def digest(arguments: Sequence[str], timeout: float) -> tuple[str, int]:
    """Return SHA-256 and length of what a program prints, which is kept nowhere. CommandError as in `run`."""
    total, length = hashlib.sha256(), 0
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                list(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment()
            )
        except FileNotFoundError as error:
            raise CommandError(f"the program {arguments[0]} is not installed") from error
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(timeout, end)
        timer.start()
        with _output(process) as printed:
            try:
                for block in iter(lambda: printed.read(1 << 20), b""):
                    total.update(block)
                    length += len(block)
                process.wait()
            finally:
                timer.cancel()
                process.kill()
                process.wait()
        if late.is_set():
            raise CommandError(f"{_title(arguments)} took more than {timeout:g} s")
        if process.returncode != 0:
            errors.seek(0)
            raise CommandError(f"{_title(arguments)} ended with {process.returncode}: {_last_words(errors.read())}")
    return total.hexdigest(), length


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """What a program prints, which is there because it was started with a pipe."""
    if process.stdout is None:
        raise CommandError("the output of a program was not piped")
    return process.stdout


def _title(arguments: Sequence[str]) -> str:
    """A program and its verb."""
    return " ".join([Path(arguments[0]).name, *[word for word in arguments[1:2] if not word.startswith("-")]])


def _last_words(errors: bytes) -> str:
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("age: report unexpected")]
    return " / ".join(lines[-3:])[-600:] or "it said nothing"
