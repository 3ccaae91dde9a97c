# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away etcd with what is in a snapshot. It listens on Unix sockets in a private directory, and nowhere else."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import commands
from .errors import BackupError, CommandError
from .etcd import Etcd, EtcdError

# More than any database that etcd supports: a throw-away member must not fall out of space.
_QUOTA_BYTES = 64 << 30
# Never called: the member is alone, and its clients are given its socket.
_NOWHERE = "http://localhost:2380"


def restore(snapshot: Path, directory: Path, timeout: float) -> Path:
    """Return the data directory that etcdutl made of a snapshot; it checks the hash at the snapshot's end."""
    data = directory / "member"
    try:
        commands.run(["etcdutl", "snapshot", "restore", str(snapshot), f"--data-dir={data}"], timeout)
    except CommandError as error:
        raise BackupError(f"etcdutl cannot restore it: {error}") from error
    return data


@contextlib.contextmanager
def serving(data: Path, directory: Path, timeout: float) -> Iterator[Etcd]:
    """Serve a data directory until the block ends. `directory` is private to the user, and its path short."""
    client = directory / "etcd.sock"
    arguments = [
        "etcd",
        f"--data-dir={data}",
        f"--listen-client-urls=unix://{client}",
        f"--advertise-client-urls={_NOWHERE}",
        f"--listen-peer-urls=unix://{directory}/peer.sock",
        f"--initial-advertise-peer-urls={_NOWHERE}",
        # It is thrown away: nothing has to survive.
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={_QUOTA_BYTES}",
        "--log-level=warn",
    ]
    etcd = Etcd(f"unix://{client}", timeout=60)
    with process(arguments, directory / "etcd.log") as running:
        wait(lambda: _answers(etcd), running, directory / "etcd.log", timeout)
        yield etcd


@contextlib.contextmanager
def process(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; what it says goes to `log`. It is killed: nothing of it has to survive."""
    with log.open("wb") as output:
        try:
            running = subprocess.Popen(
                list(arguments), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=commands.environment()
            )
        except FileNotFoundError as error:
            raise CommandError(f"the program {arguments[0]} is not installed") from error
        try:
            yield running
        finally:
            running.kill()
            running.wait()


def wait(missing: Callable[[], str], running: subprocess.Popen[bytes], log: Path | None, timeout: float) -> None:
    """Wait until nothing is missing any more. BackupError says what was, or what the server said at its end.

    `log`: None where what the server says may hold secrets.
    """
    title = Path(str(running.args[0] if isinstance(running.args, list) else running.args)).name
    end = time.monotonic() + timeout
    while True:
        why_not = missing()
        if not why_not:
            return
        if running.poll() is not None:
            said = f": {_last_words(log)}" if log else ""
            raise BackupError(f"{title} ended with {running.returncode}{said}")
        if time.monotonic() > end:
            raise BackupError(f"{title} was not ready within {timeout:g} s: {why_not}")
        time.sleep(0.1)


def installed_version(timeout: float) -> str:
    """Return the version of etcd's programs on this host."""
    said = commands.run(["etcdutl", "version"], timeout).decode(errors="replace")
    found = re.search(r"etcdutl version: (\S+)", said)
    if found is None:
        raise BackupError(f"etcdutl does not say its version: {said[:100]!r}")
    return found[1]


def _answers(etcd: Etcd) -> str:
    try:
        etcd.revision()
    except EtcdError as error:
        return str(error)
    return ""


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-600:] or "it said nothing"
