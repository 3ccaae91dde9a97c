# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stores hold. Only what has a manifest is one."""

from __future__ import annotations

import contextlib
import datetime
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from . import manifest
from .errors import BackupError
from .manifest import SnapshotManifest
from .names import MANIFEST, IdentityName, SnapshotName, parse_identity, parse_snapshot
from .stores import Entry, Store

# A name that is further in the future than clocks may differ comes from a clock that is wrong.
CLOCKS_DIFFER = datetime.timedelta(minutes=5)


@dataclass
class Backup:
    """A snapshot and the stores that have it. `damaged`: stores in which its object is missing or has another size."""

    name: SnapshotName
    manifest: SnapshotManifest
    stores: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For JSON, and as a module's fact."""
        return {
            **asdict(self.manifest),
            "name": self.name.short,
            "verified": bool(self.stores),
            "stores": sorted(self.stores),
            "damaged": sorted(self.damaged),
        }


@dataclass
class Listing:
    """Backups, newest first; `errors` by store."""

    backups: list[Backup] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


def finished(entries: Iterable[Entry], cluster: str) -> dict[SnapshotName, int]:
    """Return the snapshots of a listing that have a manifest, and the sizes of their objects; newest first. Pure."""
    sizes = {entry.key: entry.bytes for entry in entries}
    found = {
        name: sizes[name.key]
        for name in map(parse_snapshot, sizes)
        if name is not None and name.cluster == cluster and name.key in sizes and name.manifest_key in sizes
    }
    return dict(sorted(found.items(), reverse=True))


def identities(entries: Iterable[Entry], cluster: str) -> list[IdentityName]:
    """Return the parts of the identity in a listing that have a manifest, newest first. Pure."""
    keys = {entry.key for entry in entries}
    found = {
        name
        for name in map(parse_identity, keys)
        if name is not None and name.cluster == cluster and name.key in keys and name.manifest_key in keys
    }
    return sorted(found, reverse=True)


def since(names: Mapping[SnapshotName, int], start: datetime.datetime, now: datetime.datetime) -> list[SnapshotName]:
    """Return those that were begun at `start` or later, newest first; not those of a clock that is ahead. Pure."""
    return [name for name in names if start <= name.time <= now + CLOCKS_DIFFER]


def read_all(stores: Sequence[Store], cluster: str) -> Listing:
    """Read the manifests of all backups in all stores. A store that fails is in `errors`."""
    found = Listing()
    merged: dict[SnapshotName, Backup] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(stores))) as pool:
        for store, answer in zip(stores, pool.map(lambda store: _read(store, cluster), stores)):
            if isinstance(answer, BackupError):
                found.errors[store.name] = str(answer)
                continue
            for name, (own, size) in answer.items():
                backup = merged.setdefault(name, Backup(name, own))
                intact = size == own.bytes and own.sha256 == backup.manifest.sha256
                (backup.stores if intact else backup.damaged).append(store.name)
    found.backups = [merged[name] for name in sorted(merged, reverse=True)]
    return found


def _read(store: Store, cluster: str) -> dict[SnapshotName, tuple[SnapshotManifest, int]] | BackupError:
    folder = f"{cluster}/etcd"
    try:
        entries = store.list(folder)
        sizes = {entry.key: entry.bytes for entry in entries}
        names = {
            name.manifest_key: name
            for name in (parse_snapshot(key) for key in sizes if key.endswith(MANIFEST))
            if name is not None and name.cluster == cluster
        }
        found = {}
        with tempfile.TemporaryDirectory(prefix="caravan-manifests-") as directory:
            for key, path in store.get_many(folder, sorted(names), directory).items():
                name = names[key]
                # A manifest that cannot be read makes no backup.
                with contextlib.suppress(BackupError):
                    found[name] = manifest.load(SnapshotManifest, path.read_bytes(), name.key), sizes.get(name.key, -1)
    except BackupError as error:
        return error
    return found
