# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of objects, and what is read from a listing of them."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import listing
from ansible_collections.caravan.cluster.plugins.module_utils._backup.names import (
    IdentityName,
    SnapshotName,
    parse_identity,
    parse_snapshot,
)
from ansible_collections.caravan.cluster.plugins.module_utils._backup.stores import Entry

UTC = datetime.timezone.utc
NOON = datetime.datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def snapshot(minutes: int = 0, revision: int = 7, member: str = "cp1", cluster: str = "prod") -> SnapshotName:
    return SnapshotName(NOON + datetime.timedelta(minutes=minutes), revision, "3.6.8", member, cluster)


@pytest.mark.parametrize("member", ["cp1", "cp-1", "node.example.org"])
def test_a_name_says_what_it_was_made_of(member: str) -> None:
    name = snapshot(member=member)
    assert parse_snapshot(name.key) == parse_snapshot(name.manifest_key) == name
    identity = IdentityName(NOON, "control_plane", "0123456789abcdef", "prod")
    assert parse_identity(identity.key) == parse_identity(identity.manifest_key) == identity


def test_names_sort_by_time() -> None:
    names = [snapshot(2, 1), snapshot(0, 900), snapshot(1, 10**13)]
    assert [name.key for name in sorted(names)] == sorted(name.key for name in names)


@pytest.mark.parametrize(
    "key",
    [
        "prod/etcd/20261121T120000Z_r000000000007_v3.6.8_cp1.db.zst",
        "prod/etcd/20261399T120000Z_r000000000007_v3.6.8_cp1.db.zst.age",
        "prod/etcd/x/20261121T120000Z_r000000000007_v3.6.8_cp1.db.zst.age",
        "prod/other/20261121T120000Z_r000000000007_v3.6.8_cp1.db.zst.age",
        "prod/etcd/20261121T120000Z_r7_v3.6.8_cp1.db.zst.age",
        "prod/etcd/20261121T120000Z_r000000000007_v3.6.8_cp1.db.zst.age.json.json",
    ],
)
def test_anything_else_is_no_snapshot(key: str) -> None:
    assert parse_snapshot(key) is None


def entries(*keys: str) -> list[Entry]:
    return [Entry(key, 100 + len(key), NOON) for key in keys]


def test_only_what_has_a_manifest_is_finished() -> None:
    done, half, other = snapshot(0), snapshot(1), snapshot(2, cluster="test")
    manifest_only = snapshot(3)
    found = listing.finished(
        entries(
            done.key, done.manifest_key, half.key, other.key, other.manifest_key, manifest_only.manifest_key, "prod/x"
        ),
        "prod",
    )
    assert found == {done: 100 + len(done.key)}


def test_the_newest_come_first() -> None:
    names = [snapshot(minute) for minute in (1, 3, 2)]
    found = listing.finished(entries(*(key for name in names for key in (name.key, name.manifest_key))), "prod")
    assert list(found) == sorted(names, reverse=True)


def test_a_clock_that_is_ahead_does_not_count() -> None:
    names = {snapshot(minute): 1 for minute in (60, 4, 0, -1, -20)}
    start = NOON - datetime.timedelta(minutes=15)
    assert listing.since(names, start, NOON) == [snapshot(4), snapshot(0), snapshot(-1)]


def test_parts_of_the_identity_want_a_manifest_too() -> None:
    old, new = (IdentityName(NOON + datetime.timedelta(days=day), "etcd", "0123456789abcdef", "prod") for day in (0, 1))
    assert listing.identities(entries(old.key, old.manifest_key, new.key), "prod") == [old]
