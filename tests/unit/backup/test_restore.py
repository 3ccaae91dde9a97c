# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is meant, where it goes, and when nothing may be done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.filter.restore_plan import restore_plan
from ansible_collections.caravan.cluster.plugins.filter.restore_unfit import restore_unfit
from ansible_collections.caravan.cluster.plugins.module_utils._backup import restore
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.names import SnapshotName, parse_snapshot

OLD = "20261121T100000Z_r000000000100_v3.6.8_cp1"
NEW = "20261121T110000Z_r000000000200_v3.6.8_cp2"


def name(short: str, cluster: str = "demo") -> SnapshotName:
    found = parse_snapshot(f"{cluster}/etcd/{short}.db.zst.age")
    assert found is not None
    return found


def test_only_what_has_a_manifest_is_a_backup() -> None:
    keys = [
        name(OLD).key,
        name(OLD).manifest_key,
        name(NEW).key,
        name(OLD, "other").key,
        name(OLD, "other").manifest_key,
    ]
    assert restore.backups(keys, "demo") == [name(OLD)]


@pytest.mark.parametrize(
    ("wanted", "short"),
    [
        ("latest", NEW),
        (OLD, OLD),
        (f"demo/etcd/{NEW}.db.zst.age", NEW),
        (f"{OLD}.db.zst.age", OLD),
        ("2026-11-21T10:59:59Z", OLD),
        ("2026-11-21 11:00", NEW),
        ("2026-11-21T13:00:00+02:00", NEW),
        ("20261121T103000Z", OLD),
    ],
)
def test_a_backup_is_chosen_by_name_or_time(wanted: str, short: str) -> None:
    chosen, stores = restore.select({"near": [name(OLD)], "far": [name(OLD), name(NEW)]}, wanted, "demo")
    assert chosen.short == short
    assert stores == (["near", "far"] if short == OLD else ["far"])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("2026-11-21T09:00:00Z", "no backup is as old"),
        ("yesterday", "'yesterday' is neither latest, nor a time, nor the name"),
    ],
)
def test_what_cannot_be_found_is_said(wanted: str, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        restore.select({"near": [name(OLD)]}, wanted, "demo")


def test_no_backup_at_all() -> None:
    with pytest.raises(BackupError, match="no backup of the cluster demo in the store near"):
        restore.select({"near": []}, "latest", "demo")


def test_only_what_both_say_is_compared() -> None:
    seen = {"pod_cidr": "10.244.0.0/16", "endpoint": "api.a", "part": "etcd"}
    wanted = {"pod_cidr": "10.1.0.0/16", "endpoint": "api.a", "other": "x"}
    assert restore.differences(seen, wanted) == ["pod_cidr is 10.1.0.0/16, the backup's is 10.244.0.0/16"]


EMPTY: dict[str, Any] = {
    "cluster": "",
    "control_plane": False,
    "data": [],
    "memory": 10**9,
    "public": {},
    "record": {},
}
LIVING: dict[str, Any] = {**EMPTY, "cluster": "demo", "control_plane": True, "data": ["1", "2"]}
DAMAGED: dict[str, Any] = {**LIVING, "data": ["0", "0"]}
RECORD = {"backup": OLD, "wanted": "latest", "step": "restored", "ids": ["1", "2"]}
ETCD = ["c", "a", "b"]


def test_new_machines() -> None:
    plan = restore.plan({"b": EMPTY, "a": EMPTY, "w": EMPTY}, ETCD, "demo", "latest")
    assert plan == restore.Plan("new", "a")


@pytest.mark.parametrize("living", [LIVING, {**EMPTY, "data": ["1", "2"]}, {**EMPTY, "cluster": "demo"}])
def test_a_living_cluster_is_not_touched_without_consent(living: dict[str, Any]) -> None:
    hosts = {"a": EMPTY, "b": living}
    assert (
        "restore_consent is not set, wanted restore_consent=demo" in restore.plan(hosts, ETCD, "demo", "latest").refusal
    )
    refusal = restore.plan(hosts, ETCD, "demo", "latest", consent="prod").refusal
    assert "restore_consent is 'prod', wanted restore_consent=demo" in refusal
    assert restore.plan(hosts, ETCD, "demo", "latest", consent="demo").mode == "in_place"


def test_another_cluster_is_never_touched() -> None:
    plan = restore.plan({"a": {**LIVING, "cluster": "prod"}}, ETCD, "demo", "latest", consent="demo")
    assert plan.refusal.startswith("another cluster is on a (prod)")


def test_rolled_back_in_its_place_on_a_host_that_was_a_member() -> None:
    plan = restore.plan({"a": EMPTY, "b": LIVING, "c": LIVING}, ETCD, "demo", OLD, consent="demo")
    assert plan == restore.Plan("in_place", "b", aside=["b", "c"])


@pytest.mark.parametrize("wanted", ["latest", OLD])
def test_an_interrupted_restore_goes_on_with_the_same_backup(wanted: str) -> None:
    plan = restore.plan({"a": EMPTY, "b": {**LIVING, "record": RECORD}}, ETCD, "demo", wanted)
    assert plan == restore.Plan("resume", "b", OLD)


def test_one_that_was_only_announced_asks_for_consent_again() -> None:
    hosts = {"a": LIVING, "b": {**LIVING, "record": {"backup": OLD, "wanted": "latest", "step": "begun"}}}
    assert "lives on a, b" in restore.plan(hosts, ETCD, "demo", "latest").refusal
    assert restore.plan(hosts, ETCD, "demo", "latest", "demo") == restore.Plan("resume", "b", OLD, ["a"])


def test_those_that_joined_the_restored_member_are_left_alone() -> None:
    old, joined = {**LIVING, "data": ["7", "9"]}, {**LIVING, "data": ["3", "2"]}
    plan = restore.plan({"a": old, "b": {**LIVING, "record": RECORD}, "c": joined}, ETCD, "demo", "latest")
    assert plan == restore.Plan("resume", "b", OLD, ["a"])


def test_another_backup_in_place_of_an_interrupted_restore_needs_consent() -> None:
    hosts = {"b": {**LIVING, "record": RECORD}}
    assert f"restore_from={OLD}" in restore.plan(hosts, ETCD, "demo", NEW).refusal
    assert restore.plan(hosts, ETCD, "demo", NEW, consent="demo").mode == "in_place"


def test_a_finished_restore_is_history() -> None:
    hosts = {"b": {**LIVING, "record": {**RECORD, "step": "done"}}}
    assert "lives on b" in restore.plan(hosts, ETCD, "demo", "latest").refusal


def test_the_survivor_is_the_source() -> None:
    hosts = {"a": EMPTY, "b": LIVING, "c": EMPTY}
    plan = restore.plan(hosts, ETCD, "demo", "survivor", consent="demo")
    assert plan == restore.Plan("in_place", "b", "survivor", ["b"])
    assert "lives on b" in restore.plan(hosts, ETCD, "demo", "survivor").refusal


def test_one_of_two_survivors_has_to_be_named() -> None:
    hosts = {"a": LIVING, "b": LIVING, "c": EMPTY}
    assert "restore_survivor" in restore.plan(hosts, ETCD, "demo", "survivor", "demo").refusal
    assert restore.plan(hosts, ETCD, "demo", "survivor", "demo", "a").host == "a"
    assert "wanted a host with data" in restore.plan(hosts, ETCD, "demo", "survivor", "demo", "c").refusal


def test_a_survivor_whose_data_cannot_be_read_is_none() -> None:
    refusal = restore.plan({"a": EMPTY, "b": DAMAGED}, ETCD, "demo", "survivor", "demo").refusal
    assert refusal.endswith("that can be read (b holds what cannot): restore a backup")
    plan = restore.plan({"a": LIVING, "b": DAMAGED}, ETCD, "demo", "survivor", "demo")
    assert plan == restore.Plan("in_place", "a", "survivor", ["a", "b"])
    assert restore.plan({"a": EMPTY, "b": DAMAGED}, ETCD, "demo", "latest", "demo").aside == ["b"]


def test_a_backup_fits_machines_of_its_identity_with_room_for_it() -> None:
    backup = {"db_bytes": 10**9, "public": {"/ca.crt": "1"}}
    held = {**EMPTY, "public": {"/ca.crt": "1"}}
    assert restore_unfit({"a": EMPTY, "b": held}, "a", backup) == []
    other, small = restore_unfit(
        {"a": {**held, "memory": 10**8}, "b": {**EMPTY, "public": {"/ca.crt": "2"}}}, "a", backup
    )
    assert other.startswith("b holds another identity than the backup (/ca.crt)")
    assert small.startswith("a has 100 MB of memory available, wanted 1000 MB")


def test_no_survivor_and_no_host() -> None:
    assert "restore a backup" in restore.plan({"a": EMPTY}, ETCD, "demo", "survivor", "demo").refusal
    assert "no host of the group etcd was reached" in restore.plan({"w": EMPTY}, ETCD, "demo", "latest").refusal


def test_the_filter_is_the_plan() -> None:
    assert restore_plan({"a": EMPTY}, ETCD, "demo") == {
        "mode": "new",
        "host": "a",
        "backup": "",
        "aside": [],
        "refusal": "",
    }


@pytest.mark.parametrize(
    ("record", "data", "steps"),
    [
        ({}, [], ["place", "start", "scrub"]),
        ({"step": "aside"}, [], ["place", "start", "scrub"]),
        # Cut off before the data was moved into its place, and right after.
        ({"step": "placing", "ids": ["1", "2"]}, [], ["place", "start", "scrub"]),
        ({"step": "placing", "ids": ["1", "2"]}, ["1", "2"], ["start", "scrub"]),
        # Somebody else's data is no restored data.
        ({"step": "placing", "ids": ["1", "2"]}, ["3", "4"], ["place", "start", "scrub"]),
        ({"step": "restored"}, ["1", "2"], ["start", "scrub"]),
        ({"step": "scrubbed"}, ["1", "2"], []),
        ({"step": "scrubbed"}, [], ["place", "start", "scrub"]),
    ],
)
def test_what_is_left_to_do_follows_from_what_is_there(
    record: dict[str, Any], data: list[str], steps: list[str]
) -> None:
    assert restore.next_steps(record, data) == steps
