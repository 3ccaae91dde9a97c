# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bucket should be, and the way there."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._object_store.errors import ObjectStoreError
from ansible_collections.caravan.cluster.plugins.module_utils._object_store.plan import (
    GRANTS,
    Bucket,
    Seen,
    canonical,
    check_names,
    describe,
    policy,
    steps,
)

WANTED = Bucket("backups", retention=("GOVERNANCE", 3), grants={"w": "writer", "k": "keeper"})


def as_seen(bucket: Bucket) -> Seen:
    return Seen(bucket.versioning, bucket.lock, bucket.retention, bucket.policy())


def verbs(wanted: Bucket, seen: Seen | None) -> list[str]:
    return [step.verb for step in steps(wanted, seen)]


def test_a_new_bucket_is_made_with_all_it_should_have() -> None:
    assert verbs(WANTED, None) == ["create", "retention", "policy"]
    assert verbs(Bucket("plain", versioning=False, lock=False), None) == ["create"]
    assert verbs(Bucket("old", lock=False), None) == ["create", "versioning"]


def test_a_bucket_that_is_as_it_should_be_is_left_alone() -> None:
    assert steps(WANTED, as_seen(WANTED)) == []


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (replace(WANTED, retention=None), ["retention"]),
        (replace(WANTED, retention=("COMPLIANCE", 3)), ["retention"]),
        (replace(WANTED, grants={"k": "keeper"}), ["policy"]),
        (replace(WANTED, grants={}), ["policy"]),
    ],
)
def test_only_what_differs_is_changed(seen: Bucket, expected: list[str]) -> None:
    assert verbs(WANTED, as_seen(seen)) == expected


def test_rights_that_are_no_longer_granted_are_taken_away() -> None:
    assert verbs(replace(WANTED, grants={}), as_seen(WANTED)) == ["no_policy"]


@pytest.mark.parametrize(
    ("wanted", "seen", "words"),
    [
        (WANTED, Bucket("backups", lock=False), "made without object lock"),
        (Bucket("backups", versioning=False, lock=False), Bucket("backups"), "cannot be turned off"),
        (Bucket("backups", versioning=False), None, "object lock wants versioning"),
        (Bucket("backups", lock=False, retention=("GOVERNANCE", 1)), None, "wants object lock"),
    ],
)
def test_what_no_server_can_do_is_refused(wanted: Bucket, seen: Bucket | None, words: str) -> None:
    with pytest.raises(ObjectStoreError, match=words):
        steps(wanted, as_seen(seen) if seen else None)


def test_a_bucket_that_is_named_twice_is_refused() -> None:
    check_names(["a", "b"])
    with pytest.raises(ObjectStoreError, match="more than one bucket named a"):
        check_names(["a", "b", "a"])


def test_who_stores_cannot_delete_and_who_deletes_cannot_store() -> None:
    writer, keeper = ({action for part in GRANTS[grant] for action in part} for grant in ("writer", "keeper"))
    assert not [action for action in writer if "Delete" in action or "Version" in action or "Retention" in action]
    assert not [action for action in writer if action.startswith("s3:PutBucket")]
    assert "s3:PutObject" not in keeper and "s3:DeleteObjectVersion" in keeper
    assert not [action for action in keeper | writer if "Bypass" in action or "*" in action]


def test_each_statement_is_about_one_kind_of_thing_and_names_its_users() -> None:
    document = policy("backups", {"b": "writer", "a": "writer", "c": "keeper"})
    assert document is not None
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement["Principal"]["AWS"] in (["a", "b"], ["c"])
        on_objects = statement["Resource"] == ["arn:aws:s3:::backups/*"]
        assert on_objects or statement["Resource"] == ["arn:aws:s3:::backups"]
        assert all(("Bucket" in action) != on_objects for action in statement["Action"])
    assert policy("backups", {}) is None


def test_a_policy_is_the_same_in_whatever_order_a_server_writes_it() -> None:
    document = policy("backups", WANTED.grants)
    assert document is not None
    other = json.loads(json.dumps(document))
    random.Random(1).shuffle(other["Statement"])
    for statement in other["Statement"]:
        statement["Action"].reverse()
        statement["Principal"] = statement["Principal"]["AWS"][0]
        statement["Resource"] = statement["Resource"][0]
    assert canonical(other) == document


def test_the_difference_is_shown_in_words() -> None:
    shown = describe(WANTED)
    assert shown["default_retention"] == "GOVERNANCE, 3 days"
    assert shown == describe(as_seen(WANTED))
    assert describe(None) == {}
