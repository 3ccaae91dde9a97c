# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host during a restore: its record, its key for this restore, the files of the cluster's identity."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .._backup import commands, identity, memory, seal
from .._backup.errors import BackupError
from .._etcd import wal
from .._identity.catalogue import CONTROL_PLANE, ETCD, shared_of

RECORD = Path("/etc/caravan/restore.json")
CLUSTER = Path("/etc/caravan/cluster.json")
MANIFESTS = Path("/etc/kubernetes/manifests")
PAUSED = Path("/etc/kubernetes/caravan/paused")
ENCRYPTION = "/etc/kubernetes/encryption.yml"
KEY = "age.key"
LOCK = Path("/run/caravan-restore.lock")
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")


def look(data_dir: str) -> dict[str, Any]:
    """Return what `restore.plan` goes by."""
    return {
        "cluster": str(read_json(CLUSTER).get("name", "")),
        "control_plane": any((place / "kube-apiserver.yaml").exists() for place in (MANIFESTS, PAUSED)),
        "data": data_ids(data_dir),
        "memory": memory.available(Path("/proc/meminfo").read_text(encoding="utf-8")),
        "public": public_halves(),
        "record": read_json(RECORD),
    }


@contextlib.contextmanager
def locked(timeout: float, check_mode: bool = False) -> Iterator[None]:
    """Hold the host's one lock for restores: what a run that was cut off still does is waited for, not raced.

    Check mode neither waits nor leaves a lock file behind.
    """
    if check_mode:
        yield
        return
    deadline = time.monotonic() + timeout
    with LOCK.open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise BackupError(f"another restore has held {LOCK} for {timeout:.0f} s: fuser -v {LOCK}") from None
                time.sleep(0.3)
        yield


def data_ids(data_dir: str) -> list[str]:
    """Return member and cluster ID of etcd's data, as text; empty without data, zeros where it cannot be read.

    Directories alone are no data, but a database without a log is.
    """
    ids = wal.identity(Path(data_dir))
    if ids is None and any(path.is_file() for path in Path(data_dir, "member").rglob("*")):
        ids = (0, 0)
    return [format(number, "x") for number in ids] if ids else []


def public_halves() -> dict[str, str]:
    """Return SHA-256 by path of the public files of the identity that the host holds."""
    return {
        shared.path: identity.fingerprint(Path(shared.path).read_bytes())
        for shared in shared_of([ETCD, CONTROL_PLANE])
        if shared.path.endswith((".crt", ".pub")) and Path(shared.path).exists()
    }


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty when there is none, or it is not whole."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def write_record(record: dict[str, Any]) -> None:
    """Keep the record of the restore; all of it or none."""
    RECORD.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write(RECORD, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode(), 0o600)


def write(path: Path, data: bytes, mode: int) -> None:
    """Write a file so that it is there whole, or as it was."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer:
        writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())
    temporary.chmod(mode)
    temporary.replace(path)


def make_key(directory: Path, sealed: Path) -> str:
    """Make a key for one restore, in memory, and return its public half.

    `sealed`: a directory for what is large and worth nothing without the key, so it may be on a disk.
    """
    remove_key(directory, sealed)
    directory.mkdir(mode=0o700, parents=True)
    kind = memory.file_system(str(directory.resolve()), Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    if kind not in ("tmpfs", "ramfs"):
        directory.rmdir()
        raise BackupError(f"{directory} is on a disk ({kind}), wanted a tmpfs")
    sealed.mkdir(mode=0o700, parents=True)
    key = commands.run(["age-keygen"], 20)
    write(directory / KEY, key, 0o600)
    found = _RECIPIENT.search(key.decode())
    if found is None:
        raise BackupError("age-keygen said no public key")
    return found[0]


def remove_key(*directories: Path) -> bool:
    """Remove the key, and what was sealed to it. False when there was none."""
    there = [directory for directory in directories if directory.exists()]
    for directory in there:
        shutil.rmtree(directory)
    return bool(there)


def place_identity(directory: Path, parts: Sequence[str], replace: bool, check_mode: bool) -> list[str]:
    """Write the shared files of the bundle that the host lacks. Returns the paths that were written.

    A file with other contents is left alone and refused; but with `replace` the secrets-encryption keys, which may
    have been rotated since the backup, are moved aside and replaced by those the backup needs.
    """
    written, differ = [], []
    for part in parts:
        bundle = identity.unpack(seal.decrypt((directory / f"{part}.age").read_bytes(), str(directory / KEY), 60))
        for shared in shared_of([part]):
            data, path = bundle.files[shared.path], Path(shared.path)
            held = path.read_bytes() if path.exists() else None
            if held is not None and held.strip() == data.strip():
                continue
            if held is not None and not (replace and shared.path == ENCRYPTION):
                differ.append(shared.path)
                continue
            written.append((path, data, int(shared.mode, 8), held is not None))
    if differ:
        raise BackupError(
            f"the host holds another identity than the backup: {', '.join(differ)}. Nothing was changed. Move "
            "these files away if the backup's are the right ones"
        )
    if not check_mode:
        for path, data, mode, aside in written:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if aside:
                path.rename(
                    path.with_name(f"{path.name}.before-restore-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
                )
            write(path, data, mode)
    return [str(path) for path, _data, _mode, _aside in written]
