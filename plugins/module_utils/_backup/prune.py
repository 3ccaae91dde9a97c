# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prune a store: look, judge, lock what stays, remove what goes."""

from __future__ import annotations

import dataclasses
import datetime
import tempfile
from dataclasses import dataclass, field
from typing import Any

from . import manifest, retention
from .errors import BackupError, StoreError
from .manifest import SnapshotManifest
from .names import MANIFEST, parse_snapshot
from .stores import Store
from .versions import Version, Versions, code


@dataclass
class Result:
    """What became of one store. `failed`: units that should have gone, with what the server said."""

    store: str
    plan: retention.Plan = field(default_factory=retention.Plan)
    removed: list[str] = field(default_factory=list)
    removed_bytes: int = 0
    locked: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def good(self) -> bool:
        return not self.error and not self.failed

    def plain(self) -> dict[str, Any]:
        """For JSON, and as a module's result."""
        return {
            "store": self.store,
            "kept": [{"name": _short(unit.key), "reasons": unit.reasons} for unit in self.plan.staying],
            "pruned": [{"name": _short(unit.key), "reasons": unit.reasons} for unit in self.plan.going],
            "removed": [_short(key) for key in self.removed],
            "removed_bytes": self.removed_bytes,
            "locked": self.locked,
            "overwritten": [_short(unit.key) for unit in self.plan.units if unit.overwritten],
            "foreign": self.plan.foreign,
            "failed": {_short(key): words for key, words in self.failed.items()},
            "refused": self.plan.refused,
            "error": self.error,
        }


def prune(store: Store, cluster: str, policy: retention.Policy, now: datetime.datetime, dry_run: bool) -> Result:
    """Prune one store. What goes wrong is in the result."""
    result = Result(store.name)
    try:
        problems = policy.problems()
        if problems:
            raise BackupError(f"the retention cannot be used: {', '.join(problems)}")
        versions = Versions(store)
        listed = [*versions.list(f"{cluster}/etcd"), *versions.list(f"{cluster}/identity")]
        manifests = read_manifests(store, cluster, listed)
        result.plan = retention.plan(listed, manifests, cluster, policy, now)
        retention.honour_locks(result.plan, _locks(versions, result.plan), now)
        if policy.lock_days:
            _lock(versions, result, retention.wanted_locks(result.plan, manifests, policy, now), dry_run)
        if not dry_run:
            _remove(versions, result)
    except BackupError as error:
        result.error = str(error)
    return result


def read_manifests(store: Store, cluster: str, listed: list[Version]) -> dict[str, SnapshotManifest | None]:
    """Return the manifests of the snapshots, as they are now; None for one that cannot be read."""
    keys = {
        version.key: version.key[: -len(MANIFEST)]
        for version in listed
        if version.key.endswith(MANIFEST) and version.latest and not version.marker and parse_snapshot(version.key)
    }
    found: dict[str, SnapshotManifest | None] = {}
    if not keys:
        return found
    with tempfile.TemporaryDirectory(prefix="caravan-manifests-") as directory:
        for key, path in store.get_many(f"{cluster}/etcd", sorted(keys), directory).items():
            try:
                found[keys[key]] = manifest.load(SnapshotManifest, path.read_bytes(), keys[key])
            except BackupError:
                found[keys[key]] = None
    missing = sorted(set(keys.values()) - set(found))
    if missing:
        # Judged without them, a good backup would look like an unfinished one.
        raise StoreError(
            f"store {store.name}: {len(missing)} manifests could not be read, such as that of {missing[0]}"
        )
    return found


def _locks(versions: Versions, planned: retention.Plan) -> dict[tuple[str, str], datetime.datetime]:
    """The locks on what would go."""
    locks = {}
    for unit in planned.going:
        for version in unit.versions:
            lock = versions.lock_of(version)
            if lock is not None:
                locks[version.key, version.id] = lock.until
    return locks


def _lock(versions: Versions, result: Result, wanted: list[tuple[Version, datetime.datetime]], dry_run: bool) -> None:
    for version, until in wanted:
        present = versions.lock_of(version)
        if present is None or present.until < until:
            if not dry_run:
                versions.lock(version, until, (present and present.mode) or "GOVERNANCE")
            result.locked.append(version.key)


def _remove(versions: Versions, result: Result) -> None:
    for unit in result.plan.going:
        try:
            for version in unit.versions:
                versions.delete(version)
        except StoreError as error:
            if code(error) != "AccessDenied":
                raise
            if "object lock" in str(error).lower():
                # Not the object's own, which was seen before, but that of the bucket.
                unit.reasons = []
                unit.stay("kept by the bucket's lock")
            else:
                result.failed[unit.key] = str(error)
        else:
            result.removed.append(unit.key)
            result.removed_bytes += unit.bytes


def policy_of(settings: dict[str, Any]) -> retention.Policy:
    """Return the policy of settings by the names of its fields. BackupError for another name, or no number."""
    known = {each.name for each in dataclasses.fields(retention.Policy)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise BackupError(f"the retention knows no {', '.join(unknown)}; it knows {', '.join(sorted(known))}")
    try:
        return retention.Policy(**{name: int(value) for name, value in settings.items()})
    except (TypeError, ValueError) as error:
        raise BackupError(f"the retention wants numbers: {error}") from error


def _short(key: str) -> str:
    """A key without the cluster's name."""
    return key.partition("/")[2]
