# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay. Most of it is shown on many stores, made at random."""

from __future__ import annotations

import datetime
import random
from dataclasses import asdict, replace

import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._backup import retention
from ansible_collections.caravan.cluster.plugins.module_utils._backup.manifest import SnapshotManifest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.names import (
    MANIFEST,
    IdentityName,
    SnapshotName,
    format_time,
)
from ansible_collections.caravan.cluster.plugins.module_utils._backup.retention import Plan, Policy, Unit
from ansible_collections.caravan.cluster.plugins.module_utils._backup.versions import Version
from ansible_collections.caravan.cluster.plugins.modules import etcd_backup_prune

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.timezone.utc)
NOTHING = Policy(last=0, hourly=0, daily=0, weekly=0, monthly=0)
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)


class Store:
    """What a listing of a store shows."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.manifests: dict[str, SnapshotManifest | None] = {}

    def put(self, key: str, time: datetime.datetime, size: int = 100) -> None:
        """A further version of a key, the latest of it."""
        self.versions = [replace(each, latest=False) if each.key == key else each for each in self.versions]
        self.versions.append(Version(key, f"v{len(self.versions)}", size, time))

    def delete(self, key: str, time: datetime.datetime) -> None:
        self.put(key, time, 0)
        self.versions[-1] = replace(self.versions[-1], marker=True)

    def snapshot(self, age: datetime.timedelta, identity: dict[str, str] | None = None, cluster: str = "demo") -> str:
        name = SnapshotName(NOW - age, 1000, "3.6.8", "cp1", cluster)
        self.put(name.key, name.time)
        self.put(name.manifest_key, name.time, 10)
        self.manifests[name.key] = manifest(name, identity or {})
        return name.key

    def bundle(self, age: datetime.timedelta, part: str = "etcd", digest: str = "0123456789abcdef") -> str:
        name = IdentityName(NOW - age, part, digest, "demo")
        self.put(name.key, name.time)
        self.put(name.manifest_key, name.time, 10)
        return name.key

    def plan(self, policy: Policy = NOTHING) -> Plan:
        return retention.plan(self.versions, self.manifests, "demo", policy, NOW)


def manifest(name: SnapshotName, identity: dict[str, str]) -> SnapshotManifest:
    return SnapshotManifest(
        cluster=name.cluster,
        key=name.key,
        time=format_time(name.time),
        member=name.member,
        etcd_version=name.etcd_version,
        cluster_id="1",
        revision=name.revision,
        hash=1,
        keys=1,
        db_bytes=1000,
        bytes=100,
        sha256="0" * 64,
        counts={},
        identity=identity,
        recipients=[],
    )


def staying(plan: Plan) -> set[str]:
    return {unit.key for unit in plan.staying}


def unit(plan: Plan, key: str) -> Unit:
    return next(each for each in plan.units if each.key == key)


def test_the_newest_of_each_period_stays() -> None:
    store = Store()
    for minutes in range(0, 40 * 24 * 60, 15):
        store.snapshot(datetime.timedelta(minutes=minutes))
    policy = Policy(last=4, hourly=24, daily=7, weekly=4, monthly=2)
    kept = sorted(each.name.time for each in store.plan(policy).staying)
    times = [time for time in kept if time > NOW - 24 * HOUR]
    # The last four of 15 minutes each, and of each hour the one at :45, that of the last one being among the four.
    assert times[-4:] == [NOW - datetime.timedelta(minutes=15 * number) for number in (3, 2, 1, 0)]
    assert {time.minute for time in times[:-4]} == {45}
    assert len(times) == 4 + 23 - 1
    days = [time for time in kept if time <= NOW - 24 * HOUR]
    assert {(time.hour, time.minute) for time in days} == {(23, 45)}
    assert {f"{time:%m-%d}" for time in days} >= {"11-19", "11-15", "11-08", "11-01", "10-31"}
    # However far apart backups are, it is the periods with one that count.
    assert len(days) == 5 + 2 + 1


def test_reasons_are_said() -> None:
    store = Store()
    newest, old = store.snapshot(HOUR), store.snapshot(90 * DAY)
    plan = store.plan(replace(NOTHING, daily=1))
    assert unit(plan, newest).reasons == ["newest", "daily 2026-11-21"]
    assert unit(plan, old).reasons == ["no longer wanted"]
    assert [each.key for each in plan.going] == [old]


def test_a_unit_goes_with_its_manifest_first_and_its_newest_version_last() -> None:
    store = Store()
    store.snapshot(HOUR)
    old = store.snapshot(90 * DAY)
    store.put(old, NOW - 2 * DAY)
    (gone,) = store.plan().going
    assert [(version.key.endswith(MANIFEST), version.latest) for version in gone.versions] == [
        (True, True),
        (False, False),
        (False, True),
    ]
    assert gone.overwritten and gone.bytes == 210


def test_what_is_unfinished_goes_only_when_no_upload_can_be_under_way() -> None:
    store = Store()
    store.snapshot(HOUR)
    for age in (2 * HOUR, 30 * HOUR):
        key = store.snapshot(age)
        store.versions = [each for each in store.versions if each.key != key + MANIFEST]
        del store.manifests[key]
    plan = store.plan()
    assert [each.reasons for each in plan.units] == [
        ["never finished, or damaged"],
        ["not finished, or damaged, and recent"],
        ["newest"],
    ]


def test_a_damaged_snapshot_is_not_the_newest() -> None:
    store = Store()
    good = store.snapshot(DAY)
    broken = store.snapshot(HOUR)
    store.put(broken, NOW, size=0)
    plan = store.plan()
    assert "newest" in unit(plan, good).reasons
    assert unit(plan, broken).reasons == ["damaged, and written more than once"]
    assert unit(plan, broken).notes


def test_a_clock_that_is_ahead_takes_nothing_from_the_others() -> None:
    store = Store()
    good = store.snapshot(DAY)
    ahead = store.snapshot(-300 * DAY)
    plan = store.plan()
    assert staying(plan) == {good, ahead}
    assert unit(plan, good).reasons == ["newest"]


def test_what_others_deleted_can_be_brought_back_for_some_days() -> None:
    store = Store()
    store.snapshot(HOUR)
    lately, long_ago = store.snapshot(40 * DAY), store.snapshot(50 * DAY)
    store.delete(lately, NOW - 2 * DAY)
    store.delete(long_ago + MANIFEST, NOW - 20 * DAY)
    del store.manifests[long_ago]
    plan = store.plan()
    assert "can still be brought back" in unit(plan, lately).reasons[0]
    assert [each.key for each in plan.going] == [long_ago]


def test_the_identity_that_a_snapshot_names_stays_and_the_newest_of_each_part() -> None:
    store = Store()
    bundles = [store.bundle(age * DAY, digest=f"{age:016x}") for age in (80, 60, 40, 20)]
    other = store.bundle(70 * DAY, part="control_plane")
    store.snapshot(HOUR, {"etcd": bundles[1]})
    store.snapshot(75 * DAY, {"etcd": bundles[0]})
    plan = store.plan()
    assert staying(plan) >= {bundles[1], bundles[3], other}
    assert {each.key for each in plan.going} >= {bundles[0], bundles[2]}
    assert unit(plan, bundles[1]).reasons == ["named by a snapshot that stays"]


def test_a_manifest_of_a_later_release_is_left_alone_with_all_it_may_need() -> None:
    store = Store()
    bundle = store.bundle(80 * DAY)
    store.bundle(10 * DAY)
    store.snapshot(HOUR)
    later = store.snapshot(50 * DAY)
    store.manifests[later] = None
    assert staying(store.plan()) >= {later, bundle}


def test_without_a_verified_snapshot_nothing_goes() -> None:
    store = Store()
    key = store.snapshot(50 * DAY)
    store.put(key, NOW, size=1)
    store.bundle(90 * DAY, digest="f" * 16)
    store.bundle(80 * DAY)
    plan = store.plan()
    assert plan.going == [] and plan.refused


def test_objects_of_others_are_no_units() -> None:
    store = Store()
    store.snapshot(HOUR)
    store.snapshot(50 * DAY, cluster="demo2")
    store.put("demo/etcd/notes.txt", NOW - 100 * DAY)
    store.put("demo/etcd/20260230T000000Z_r000000000001_v3.6.8_cp1.db.zst.age", NOW - 100 * DAY)
    plan = store.plan()
    assert len(plan.units) == 1 and len(plan.foreign) == 4


def test_a_lock_is_honoured_by_the_whole_unit() -> None:
    store = Store()
    store.snapshot(HOUR)
    locked, freed = store.snapshot(90 * DAY), store.snapshot(80 * DAY)
    ends = {each.key: each.id for each in store.versions}
    locks = {
        (locked + MANIFEST, ends[locked + MANIFEST]): NOW + DAY,
        (freed, ends[freed]): NOW - DAY,
    }
    plan = store.plan()
    retention.honour_locks(plan, locks, NOW)
    assert [each.key for each in plan.going] == [freed]
    assert unit(plan, locked).reasons == ["kept by lock until 2026-11-22T12:00:00Z"]


def test_what_stays_is_locked_from_its_time_on_and_bundles_as_long_as_they_are_named() -> None:
    store = Store()
    bundle = store.bundle(30 * DAY)
    young, old = store.snapshot(HOUR, {"etcd": bundle}), store.snapshot(8 * DAY, {"etcd": bundle})
    policy = replace(NOTHING, last=9, lock_days=7)
    plan = store.plan(policy)
    wanted = {version.key: until for version, until in retention.wanted_locks(plan, store.manifests, policy, NOW)}
    assert set(wanted) == {young, young + MANIFEST, bundle, bundle + MANIFEST}
    assert set(wanted.values()) == {NOW - HOUR + 7 * DAY}
    assert old in staying(plan)


def random_store(chance: random.Random) -> Store:
    store = Store()
    bundles = [
        store.bundle(chance.random() * 200 * DAY, chance.choice(["etcd", "control_plane"]), f"{number:016x}")
        for number in range(chance.randrange(4))
    ]
    for _ in range(chance.randrange(30)):
        age = chance.choice([1, 30, 400]) * chance.random() * DAY - chance.choice([0, 0, 0, 1]) * HOUR
        key = store.snapshot(age, {"etcd": chance.choice(bundles)} if bundles else {})
        accident = chance.random()
        if accident < 0.1:
            store.put(key, NOW, size=chance.choice([0, 100]))
        elif accident < 0.2:
            store.delete(chance.choice([key, key + MANIFEST]), NOW - chance.random() * 20 * DAY)
        elif accident < 0.3:
            store.versions = [each for each in store.versions if each.key != key + MANIFEST]
            del store.manifests[key]
        elif accident < 0.35:
            store.manifests[key] = None
        elif accident < 0.4:
            store.put(f"demo/etcd/{chance.random()}", NOW - 300 * DAY)
    chance.shuffle(store.versions)
    return store


def random_policy(chance: random.Random) -> Policy:
    last, hourly, daily, weekly, monthly = (chance.choice([0, 1, 5, 50]) for _ in range(5))
    return Policy(last, hourly, daily, weekly, monthly, lock_days=chance.choice([0, 7]))


@pytest.mark.parametrize("seed", range(200))
def test_rules_that_hold_for_every_store(seed: int) -> None:
    chance = random.Random(seed)
    store, policy = random_store(chance), random_policy(chance)
    plan = store.plan(policy)
    latest = {each.key: each for each in store.versions if each.latest and not each.marker}
    verified = sorted(
        (each.name.time, key)
        for key in store.manifests
        for each in plan.units
        if each.key == key
        and store.manifests[key] is not None
        and key in latest
        and key + MANIFEST in latest
        and latest[key].bytes == 100
        and each.name.time <= NOW + 5 * HOUR / 60
    )
    # All that is there is judged once, with a reason, or is foreign.
    judged = [(each.key, each.id) for one in plan.units for each in one.versions]
    assert sorted(judged + [(e.key, e.id) for e in store.versions if e.key in plan.foreign]) == sorted(
        (each.key, each.id) for each in store.versions
    )
    assert all(each.reasons for each in plan.units)
    if verified:
        assert verified[-1][1] in staying(plan)
    else:
        assert plan.going == []
    # Whatever stays can be opened: the identity it names stays.
    there = {each.key for each in plan.units}
    for key in staying(plan):
        said = store.manifests.get(key)
        assert {name for name in (said.identity if said else {}).values() if name in there} <= staying(plan)
    # More is never less.
    more = replace(policy, last=policy.last + 3, hourly=policy.hourly + 3, daily=policy.daily + 3)
    assert staying(store.plan(more)) >= staying(plan)
    # What the last run left is what the next one finds right.
    store.versions = [each for each in store.versions if each.key in plan.foreign] + [
        version for one in plan.staying for version in one.versions
    ]
    store.manifests = {key: said for key, said in store.manifests.items() if key in staying(plan)}
    assert store.plan(policy).going == []


@pytest.mark.parametrize("seed", range(50))
def test_nothing_that_is_locked_goes(seed: int) -> None:
    chance = random.Random(seed)
    store = random_store(chance)
    plan = store.plan(NOTHING)
    locks = {(each.key, each.id): NOW + chance.uniform(-5, 5) * DAY for each in store.versions if chance.random() < 0.3}
    retention.honour_locks(plan, locks, NOW)
    gone = {(each.key, each.id) for one in plan.going for each in one.versions}
    assert not [key for key in gone if locks.get(key, NOW) > NOW]


def test_the_module_documents_the_policy_as_it_is() -> None:
    documented = yaml.safe_load(etcd_backup_prune.DOCUMENTATION)["options"]["retention"]["suboptions"]
    assert {name: option["default"] for name, option in documented.items()} == asdict(Policy())


def test_a_policy_with_negative_numbers_is_refused() -> None:
    assert Policy().problems() == []
    assert Policy(daily=-1).problems() == ["daily is -1, wanted 0 or more"]
