# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of an authority, cut off at every place where they can be, and planned again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._authority.errors import AuthorityError
from ansible_collections.caravan.cluster.plugins.module_utils._authority.planner import (
    KEY,
    REMOVE,
    STAGES,
    TRUST,
    Place,
    Rotation,
    Seen,
    plan,
    steps,
)

DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)
# Each letter is made a year after the one before.
BORN = {letter: DAY + timedelta(days=365 * number) for number, letter in enumerate("ABCD")}
CP1, CP2, WORKER = ("cp1", "ca.crt"), ("cp2", "ca.crt"), ("worker1", "ca.crt")


def seen_of(cp1: str, cp2: str, worker: str) -> dict[Place, Seen]:
    """`AB/A`: trusts A and B, in this order, and holds the key of A."""

    def one(text: str) -> Seen:
        certificates, _, signer = text.partition("/")
        return Seen(tuple(certificates), signer or None)

    return {CP1: one(cp1), CP2: one(cp2), WORKER: one(worker)}


def rotation_of(seen: dict[Place, Seen], made: str = "D", wanted: bool = True, settled: bool = True) -> Rotation:
    return plan(seen, BORN, wanted, lambda: made, settled)


def after(rotation: Rotation, stage: str) -> list[str]:
    return ["".join(rotation.targets[stage][place]) for place in (CP1, CP2, WORKER)]


def test_a_new_rotation_trusts_both_then_signs_then_removes() -> None:
    rotation = rotation_of(seen_of("A/A", "A/A", "A"), made="B")
    assert (rotation.newest, rotation.begun, rotation.rotates) == ("B", False, True)
    assert after(rotation, TRUST) == ["AB", "AB", "AB"]
    assert after(rotation, KEY) == ["BA", "BA", "BA"]
    assert after(rotation, REMOVE) == ["B", "B", "B"]


def test_what_is_not_wanted_stays_as_it_is() -> None:
    seen = seen_of("A/A", "A/A", "A")
    rotation = rotation_of(seen, wanted=False)
    assert not rotation.rotates
    assert all(after(rotation, stage) == ["A", "A", "A"] for stage in STAGES)
    assert steps(rotation, seen, {}) == []


def test_an_authority_without_a_key_is_left_out_and_another_one_made() -> None:
    rotation = rotation_of(seen_of("AB/A", "A/A", "AB"), made="C")
    assert (rotation.newest, rotation.begun) == ("C", False)
    assert after(rotation, TRUST) == ["AC", "AC", "AC"]


def test_an_authority_without_a_key_is_left_out_also_when_nothing_is_wanted() -> None:
    rotation = rotation_of(seen_of("AB/A", "A/A", "A"), wanted=False)
    assert after(rotation, TRUST) == ["A", "A", "A"]


@pytest.mark.parametrize(
    "seen",
    [
        seen_of("AB/B", "AB/A", "AB"),  # between a host's key and its certificate
        seen_of("BA/B", "AB/A", "AB"),  # between two hosts
        seen_of("BA/B", "BA/B", "AB"),  # before or while everything is signed
        seen_of("B/B", "BA/B", "AB"),  # while the old one is taken away
    ],
)
def test_what_has_begun_is_completed_with_the_same_authority(seen: dict[Place, Seen]) -> None:
    rotation = rotation_of(seen)
    assert (rotation.newest, rotation.begun, rotation.rotates) == ("B", True, True)
    assert after(rotation, REMOVE) == ["B", "B", "B"]
    for place, bundle in seen.items():
        # Nobody is given back what was taken away, and nobody loses one that still signs.
        assert set(rotation.targets[TRUST][place]) == set(bundle.certificates)
        assert rotation.targets[KEY][place][0] == "B"


def test_a_host_that_came_without_the_old_authority_is_given_it_while_it_signs() -> None:
    rotation = rotation_of(seen_of("BA/B", "AB/A", "B"))
    assert set(rotation.targets[TRUST][WORKER]) == {"A", "B"}


def test_a_rotation_cut_off_at_its_very_end_is_completed_first() -> None:
    rotation = rotation_of(seen_of("B/B", "B/B", "B"), settled=False)
    assert (rotation.newest, rotation.begun, rotation.rotates) == ("B", True, True)


def test_what_was_cut_off_before_it_began_is_no_rotation_to_complete() -> None:
    # Components and objects know an authority already that no host has the key of.
    seen = seen_of("A/A", "A/A", "A")
    rotation = plan(seen, BORN, True, lambda: "D", False, ["A", "B"])
    assert (rotation.newest, rotation.begun) == ("D", False)
    assert after(rotation, TRUST) == ["AD", "AD", "AD"]


def test_what_objects_still_say_to_trust_is_taken_out_first() -> None:
    seen = seen_of("B/B", "B/B", "B")
    rotation = plan(seen, BORN, True, lambda: "D", True, ["A", "B"])
    assert (rotation.newest, rotation.begun, rotation.rotates) == ("B", True, True)
    assert after(rotation, TRUST) == ["B", "B", "B"]


def test_a_complete_rotation_is_followed_by_the_next_one() -> None:
    assert rotation_of(seen_of("B/B", "B/B", "B")).newest == "D"


def test_no_key_is_refused() -> None:
    with pytest.raises(AuthorityError, match="no host was seen to hold its key"):
        rotation_of(seen_of("A", "A", "A"))


def test_every_step_leaves_each_pair_of_hosts_with_an_authority_both_know() -> None:
    rotation = rotation_of(seen_of("A/A", "A/A", "A"), made="B")
    before: dict[tuple[str, str], tuple[str, ...]] = dict.fromkeys(rotation.targets[TRUST], ("A",))
    # By whom certificates in use are signed while some hosts have a step done, and some have not.
    for stage, signers in ((TRUST, "A"), (KEY, "AB"), (REMOVE, "B")):
        target = dict(rotation.targets[stage])
        for place in target:
            assert set(signers) <= set(before[place]) & set(target[place])
        before = target


def test_the_steps_that_are_left_are_told_with_their_hosts() -> None:
    seen = seen_of("BA/B", "AB/A", "AB")
    assert steps(rotation_of(seen), seen, {"cp1": 0, "cp2": 3, "worker1": 2}) == [
        (KEY, ("cp2", "worker1")),
        ("sign", ("cp2", "worker1")),
        (REMOVE, ("cp1", "cp2", "worker1")),
    ]
