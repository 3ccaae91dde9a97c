# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a backup, proves it whole, and seals it anew for the machines it goes to, where the age identity is.

What is verified stays sealed to its recipients; in the clear it is only ever in memory, and only while it is looked at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import commands, drill, drill_bundle, memory, restore, seal
from .errors import BackupError
from .etcd import status_of
from .identity import Bundle, digest, fingerprint, unpack
from .manifest import IdentityManifest, SnapshotManifest, load
from .names import MANIFEST, IdentityName, SnapshotName, parse_identity
from .stores import Store, rclone_config

SNAPSHOT = "snapshot"


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `settings`: what the inventory says, {pod_cidr, service_cidr, endpoint}."""

    cluster: str
    backup: str
    identity_file: str
    etcd_version: str
    settings: Mapping[str, str]
    timeout: float = 900


@dataclass(frozen=True)
class Verified:
    """A backup that was proven whole. `public`: SHA-256 by path of the public files of its identity.

    `passed_over`: why other stores were not taken.
    """

    manifest: SnapshotManifest
    public: dict[str, str]
    name: SnapshotName
    store: str
    passed_over: list[str]


def prepare(work: str) -> Path:
    """Return the work directory, made anew and empty. BackupError when it is not in memory."""
    directory = Path(work)
    remove(work)
    directory.mkdir(mode=0o700, parents=True)
    kind = memory.file_system(str(directory.resolve()), Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    if kind not in ("tmpfs", "ramfs"):
        directory.rmdir()
        raise BackupError(f"{work} is on a disk ({kind}), wanted a tmpfs: what is in a backup must not be on a disk")
    return directory


def remove(work: str) -> bool:
    """Remove the work directory with all in it. False when it was not there."""
    directory = Path(work)
    if not directory.exists():
        return False
    if directory.is_symlink() or not directory.is_dir():
        raise BackupError(f"{work} is no directory")
    shutil.rmtree(directory)
    return True


def open_stores(entries: Sequence[Mapping[str, str]], directory: Path, timeout: float) -> list[Store]:
    """Return the stores of entries {name, endpoint, region, bucket, prefix, provider, access_key, secret_key, ca}."""
    config = _write(directory / "rclone.conf", rclone_config(entries).encode())
    stores = []
    for entry in entries:
        ca_file = _write(directory / f"ca-{entry['name']}.pem", entry["ca"].encode()) if entry.get("ca") else ""
        prefix = str(entry.get("prefix") or "").strip("/")
        stores.append(Store(entry["name"], entry["bucket"], config, prefix, ca_file, timeout))
    return stores


def verify(wanted: Wanted, stores: Sequence[Store], directory: Path) -> Verified:
    """Choose a backup and prove it whole. Where one store's copy is not, the next store's is taken.

    An older backup is never taken in its place: how much may be lost is not for a program to say.
    """
    if not Path(wanted.identity_file).is_file():
        raise BackupError(f"there is no age identity {wanted.identity_file}: without it no backup can be opened")
    listed: dict[str, list[SnapshotName]] = {}
    passed_over: list[str] = []
    others: set[str] = set()
    for store in stores:
        try:
            listed[store.name] = restore.backups([entry.key for entry in store.list(wanted.cluster)], wanted.cluster)
            if not listed[store.name]:
                others |= {entry.key.strip("/").split("/")[0] for entry in store.list("")} - {wanted.cluster}
        except BackupError as error:
            passed_over.append(f"{store.name}: {error}")
    if not any(listed.values()):
        said = f"; there are backups of {', '.join(sorted(others))}" if others else ""
        raise BackupError("; ".join([f"there is no backup of the cluster {wanted.cluster}{said}", *passed_over]))
    name, holders = restore.select(listed, wanted.backup, wanted.cluster)
    for store in stores:
        if store.name not in holders:
            continue
        try:
            manifest, public = _verify_in(wanted, store, name, directory)
        except BackupError as error:
            passed_over.append(f"{store.name}: {error}")
            continue
        return Verified(manifest, public, name, store.name, passed_over)
    older = [other.short for found in listed.values() for other in found if other < name]
    hint = f". The one before it: restore_from={max(older)}" if older else ""
    raise BackupError(f"the backup {name.short} cannot be used: {'; '.join(passed_over)}{hint}")


def _verify_in(
    wanted: Wanted, store: Store, name: SnapshotName, directory: Path
) -> tuple[SnapshotManifest, dict[str, str]]:
    manifest = load(SnapshotManifest, store.read(name.manifest_key), name.key)
    _require(drill.check_manifest(manifest, name, wanted.cluster))
    _require(drill.check_version(manifest.etcd_version, wanted.etcd_version))
    stored = [
        found for found in (parse_identity(entry.key) for entry in store.list(f"{wanted.cluster}/identity")) if found
    ]
    names = drill_bundle.wanted_names(manifest, name, sorted(set(stored)))
    bundles = {part: _fetch_bundle(wanted, store, found, directory) for part, found in names.items()}
    drill_bundle.check_whole(bundles, wanted.cluster, drill_bundle.public_half)
    for bundle in bundles.values():
        wrong = restore.differences(bundle.settings, wanted.settings)
        if wrong:
            raise BackupError(f"the inventory describes another cluster: {'; '.join(wrong)}")
    sealed = directory / f"{SNAPSHOT}.sealed"
    store.get(name.key, str(sealed))
    _require(drill.check_object(manifest, sealed.stat().st_size, seal.sha256_of(str(sealed))))
    with memory.anonymous(SNAPSHOT) as (writer, plain):
        seal.unseal_into(str(sealed), writer, wanted.identity_file, wanted.timeout)
        status = status_of(plain, wanted.timeout)
    _require(drill.check_snapshot(manifest, status.revision, status.hash, status.keys, status.db_bytes))
    public = (path for path, _private in drill_bundle.PAIRS)
    files = {path: data for bundle in bundles.values() for path, data in bundle.files.items()}
    return manifest, {path: fingerprint(files[path]) for path in public if path in files}


def _fetch_bundle(wanted: Wanted, store: Store, name: IdentityName, directory: Path) -> Bundle:
    manifest = load(IdentityManifest, store.read(name.key + MANIFEST), name.key)
    sealed = store.read(name.key)
    drill_bundle.check_object(manifest, name, sealed)
    bundle = unpack(seal.decrypt(sealed, wanted.identity_file, wanted.timeout))
    drill_bundle.check_digest(manifest, digest(bundle))
    _write(directory / f"{name.part}.sealed", sealed)
    return bundle


def reseal(directory: Path, recipients: Sequence[str], identity_file: str, timeout: float) -> list[str]:
    """Seal what was verified to the keys of the machines it goes to. Returns the files' names."""
    seal.check_recipients(recipients)
    to = [argument for recipient in recipients for argument in ("--recipient", recipient)]
    made = []
    for sealed in sorted(directory.glob("*.sealed")):
        target = sealed.with_suffix(".age")
        commands.pipe(
            ["age", "--decrypt", "--identity", identity_file],
            ["age", "--encrypt", *to],
            str(sealed),
            str(target),
            timeout,
        )
        made.append(target.name)
    if not made:
        raise BackupError(f"nothing was verified in {directory}")
    return made


def hand_over(directory: Path, names: Sequence[str], user: int) -> None:
    """Let the user as whom Ansible logs in read these files, and nothing else in the directory.

    Files it may not read it would have as text in its own answer, which takes for ever where they are large.
    """
    directory.chmod(0o711)
    for name in names:
        os.chown(directory / name, user, -1)


def _require(check: drill.Check) -> None:
    if check.state != drill.PASSED:
        raise BackupError(check.text)


def _write(path: Path, data: bytes) -> str:
    path.touch(mode=0o600)
    path.write_bytes(data)
    return str(path)


def to_plain(verified: Verified, age_seconds: float) -> dict[str, Any]:
    """Return what a module says of it."""
    manifest = verified.manifest
    return {
        "name": verified.name.short,
        "time": verified.name.time.isoformat(),
        "age_seconds": round(age_seconds, 1),
        "store": verified.store,
        "etcd_version": manifest.etcd_version,
        "revision": manifest.revision,
        "hash": manifest.hash,
        "keys": manifest.keys,
        "db_bytes": manifest.db_bytes,
        "public": verified.public,
    }
