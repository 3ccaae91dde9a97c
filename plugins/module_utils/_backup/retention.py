# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups of one store stay, which go, and why. Pure.

A *unit* is an object with its manifest, in all their versions: it stays or goes as a whole. Units go for good, with all
versions, as nothing else frees room in a bucket with versions. What protects from a wrong decision is the lock.

What never goes: the newest verified snapshot; the bundles of the identity that a snapshot which stays names, and the
newest of each part; what is locked; what is not of this cluster or not ours; anything, where no snapshot is verified.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Union

from .listing import CLOCKS_DIFFER
from .manifest import SnapshotManifest
from .names import MANIFEST, IdentityName, SnapshotName, parse_identity, parse_snapshot
from .versions import Version

Name = Union[SnapshotName, IdentityName]
#: What a manifest said, by the key of its object. None: it cannot be read by this release.
Manifests = Mapping[str, Union[SnapshotManifest, None]]
#: When the lock on a version ends, by key and id.
Locks = Mapping[tuple[str, str], datetime.datetime]

_PERIODS: dict[str, Callable[[datetime.datetime], str]] = {
    "hourly": lambda time: f"{time:%Y-%m-%d %H}:00",
    "daily": lambda time: f"{time:%Y-%m-%d}",
    "weekly": lambda time: "{}-W{:02d}".format(*time.isocalendar()[:2]),
    "monthly": lambda time: f"{time:%Y-%m}",
}


@dataclass(frozen=True)
class Policy:
    """How much stays.

    `last`: the newest ones. `hourly` and the like: the newest of each of that many hours (days, weeks, months; UTC) in
    which there is one. `unfinished_hours`: until when an object without a manifest may be an upload under way.
    `deleted_days`: for how long what others deleted can be brought back. `lock_days`: for how long after its time a
    snapshot that stays is locked; 0 for no lock.
    """

    last: int = 8
    hourly: int = 48
    daily: int = 14
    weekly: int = 8
    monthly: int = 12
    unfinished_hours: int = 24
    deleted_days: int = 7
    lock_days: int = 0

    def problems(self) -> list[str]:
        """Return what is wrong with it, one sentence each."""
        return [
            f"{each.name} is {getattr(self, each.name)}, wanted 0 or more"
            for each in dataclasses.fields(self)
            if getattr(self, each.name) < 0
        ]


@dataclass
class Unit:
    """An object and its manifest. `versions` are in the order in which they would go: the manifest's first.

    `reasons` say why it stays, or, when `stays` is false, why it goes.
    """

    key: str
    name: Name
    versions: list[Version] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    stays: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(version.bytes for version in self.versions)

    def latest(self, key: str) -> Version | None:
        """The version of a key that is seen without asking for versions; None when there is none."""
        return next((each for each in self.versions if each.key == key and each.latest and not each.marker), None)

    @property
    def deleted(self) -> datetime.datetime | None:
        """When somebody deleted its object or its manifest without removing the versions."""
        markers = [each.time for each in self.versions if each.marker and each.latest]
        return max(markers, default=None)

    @property
    def overwritten(self) -> bool:
        """Whether one of its two keys was written more than once, which the agent never does."""
        data = [version.key for version in self.versions if not version.marker]
        return len(data) != len(set(data))

    def stay(self, reason: str) -> None:
        self.stays = True
        self.reasons.append(reason)


@dataclass
class Plan:
    """The units of one store, oldest first. `foreign`: keys in the cluster's folders that are not ours to judge."""

    units: list[Unit] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    refused: str = ""

    @property
    def going(self) -> list[Unit]:
        return [unit for unit in self.units if not unit.stays]

    @property
    def staying(self) -> list[Unit]:
        return [unit for unit in self.units if unit.stays]


def plan(
    versions: Iterable[Version], manifests: Manifests, cluster: str, policy: Policy, now: datetime.datetime
) -> Plan:
    """Judge what a listing of the cluster's two folders showed. `manifests` are the snapshots'. Locks come later."""
    found = _units(versions, cluster)
    verified = []
    for unit in found.units:
        unit.stays = False
        if unit.overwritten:
            unit.notes.append("was written more than once: an older version may be the good one")
        if unit.name.time > now + CLOCKS_DIFFER:
            unit.stay("its time is in the future")
        elif unit.deleted is not None and unit.deleted + datetime.timedelta(days=policy.deleted_days) > now:
            unit.stay(f"deleted by others on {_words(unit.deleted)}, can still be brought back")
        elif isinstance(unit.name, SnapshotName) and _is_verified(unit, manifests):
            verified.append(unit)
        elif isinstance(unit.name, SnapshotName):
            _judge_unverified(unit, manifests, policy, now)
    _keep_by_policy(verified, policy)
    _judge_identity(found.units, manifests, policy, now)
    if not verified:
        found.refused = "no snapshot in it is verified, so nothing is removed"
        for unit in found.going:
            unit.reasons = [found.refused]
            unit.stays = True
    return found


def honour_locks(planned: Plan, locks: Locks, now: datetime.datetime) -> None:
    """Have units stay that are locked, in part or as a whole."""
    for unit in planned.going:
        ends = [locks[version.key, version.id] for version in unit.versions if (version.key, version.id) in locks]
        if ends and max(ends) > now:
            unit.reasons = []
            unit.stay(f"kept by lock until {_words(max(ends))}")


def wanted_locks(
    planned: Plan, manifests: Manifests, policy: Policy, now: datetime.datetime
) -> list[tuple[Version, datetime.datetime]]:
    """Return which versions have to be locked, and until when: a bundle as long as the newest snapshot that names it.

    Only what was written once: which of several versions is the good one, nobody here can tell.
    """
    until: dict[str, datetime.datetime] = {}
    for unit in planned.staying:
        said = manifests.get(unit.key)
        if isinstance(unit.name, SnapshotName) and said is not None and unit.name.time <= now + CLOCKS_DIFFER:
            ends = unit.name.time + datetime.timedelta(days=policy.lock_days)
            for key in (unit.key, *said.identity.values()):
                until[key] = max(ends, until.get(key, ends))
    return [
        (version, until[unit.key])
        for unit in planned.staying
        if until.get(unit.key, now) > now and not unit.overwritten
        for version in unit.versions
        if not version.marker
    ]


def _units(versions: Iterable[Version], cluster: str) -> Plan:
    units: dict[str, Unit] = {}
    foreign = set()
    for version in versions:
        name: Name | None = parse_snapshot(version.key) or parse_identity(version.key)
        if name is None or name.cluster != cluster:
            foreign.add(version.key)
        else:
            units.setdefault(name.key, Unit(name.key, name)).versions.append(version)
    for unit in units.values():
        # The manifest first, so that what is half removed is no backup; older versions first, so that none comes forth.
        unit.versions.sort(key=lambda each: (not each.key.endswith(MANIFEST), each.latest, each.time))
    return Plan(sorted(units.values(), key=lambda unit: (unit.name.time, unit.key)), sorted(foreign))


def _is_verified(unit: Unit, manifests: Manifests) -> bool:
    manifest, seen = manifests.get(unit.key), unit.latest(unit.key)
    written = unit.latest(unit.key + MANIFEST)
    return manifest is not None and written is not None and seen is not None and seen.bytes == manifest.bytes


def _judge_unverified(unit: Unit, manifests: Manifests, policy: Policy, now: datetime.datetime) -> None:
    if unit.deleted is not None:
        unit.reasons.append(f"deleted by others on {_words(unit.deleted)}")
    elif unit.key in manifests and manifests[unit.key] is None:
        unit.stay("its manifest cannot be read by this release")
    elif unit.overwritten:
        unit.stay("damaged, and written more than once")
    elif unit.name.time + datetime.timedelta(hours=policy.unfinished_hours) > now:
        unit.stay("not finished, or damaged, and recent")
    else:
        unit.reasons.append("never finished, or damaged")


def _keep_by_policy(verified: Sequence[Unit], policy: Policy) -> None:
    """Mark what stays of the verified snapshots, and say of the others that nothing keeps them."""
    newest_first = sorted(verified, key=lambda unit: (unit.name.time, unit.key), reverse=True)
    for number, unit in enumerate(newest_first):
        if number == 0:
            unit.stay("newest")
        elif number < policy.last:
            unit.stay("last")
    for period, of in _PERIODS.items():
        seen: list[str] = []
        for unit in newest_first:
            moment = of(unit.name.time)
            if len(seen) < getattr(policy, period) and moment not in seen:
                seen.append(moment)
                unit.stay(f"{period} {moment}")
    for unit in newest_first:
        if not unit.stays:
            unit.reasons.append("no longer wanted")


def _judge_identity(units: Sequence[Unit], manifests: Manifests, policy: Policy, now: datetime.datetime) -> None:
    snapshots = [unit for unit in units if isinstance(unit.name, SnapshotName) and unit.stays]
    bundles = [unit for unit in units if isinstance(unit.name, IdentityName) and not unit.stays]
    # A snapshot whose manifest says nothing to us may need any of them.
    unknown = any(manifests.get(unit.key) is None for unit in snapshots)
    named = {key for unit in snapshots for key in getattr(manifests.get(unit.key), "identity", {}).values()}
    newest: dict[str, Unit] = {}
    for unit in bundles:
        if isinstance(unit.name, IdentityName) and unit.latest(unit.key) and unit.latest(unit.key + MANIFEST):
            newest[unit.name.part] = unit
    for unit in bundles:
        if unit in newest.values():
            unit.stay("newest of its part")
        elif unit.key in named:
            unit.stay("named by a snapshot that stays")
        elif unknown:
            unit.stay("a snapshot that stays may need it")
        elif unit.name.time + datetime.timedelta(hours=policy.unfinished_hours) > now:
            unit.stay("recent")
        else:
            unit.reasons.append("named by no snapshot that stays")


def _words(time: datetime.datetime) -> str:
    return "it is taken away" if time.year == datetime.MAXYEAR else f"{time:%Y-%m-%dT%H:%M:%SZ}"
