# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every state a member can be found in, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._etcd.model import (
    Cluster,
    EtcdError,
    Host,
    Member,
    cluster_from_plain,
    host_from_plain,
    host_to_plain,
    members_to_plain,
)
from ansible_collections.caravan.cluster.plugins.module_utils._etcd.planner import (
    Consents,
    Plan,
    first_start_config,
    initial_cluster,
    plan,
    quorum,
    reason_against_removal,
    reason_against_restart,
)

NAMES = ("a", "b", "c")
WANTED = {name: f"https://{name}:2380" for name in NAMES}
NO_CONSENT = Consents("demo")
CLUSTER_ID = 99


def member(name: str, healthy: bool = True, started: bool = True, learner: bool = False) -> Member:
    return Member(
        id=ord(name),
        name=name if started or not learner else "",
        peer_urls=(f"https://{name}:2380",),
        client_urls=(f"https://{name}:2379",) if started else (),
        learner=learner,
        healthy=healthy and started,
    )


def cluster(*members: Member) -> Cluster:
    return Cluster(CLUSTER_ID, members)


def running(name: str, **changes: Any) -> Host:
    host = Host(
        name=name,
        has_data=True,
        member_id=ord(name),
        cluster_id=CLUSTER_ID,
        record={"state": "member"},
        active=True,
        enabled=True,
    )
    return replace(host, **changes)


def empty(name: str, **changes: Any) -> Host:
    return replace(Host(name=name), **changes)


def half_made(name: str, **changes: Any) -> Host:
    return running(name, record={"state": "bootstrap", "members": WANTED}, **changes)


def hosts(*entries: Host) -> dict[str, Host]:
    return {entry.name: entry for entry in entries}


WHOLE = cluster(*map(member, NAMES))
ALL = hosts(*map(running, NAMES))


def planned(name: str, seen: dict[str, Host], found: Cluster | None, consents: Consents = NO_CONSENT) -> Plan:
    return plan(name, seen, {entry: WANTED[entry] for entry in seen}, found, consents)


# --- with a quorum


@pytest.mark.parametrize("name", NAMES)
def test_a_healthy_member_needs_nothing(name: str) -> None:
    assert planned(name, ALL, WHOLE) == Plan()


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"active": False}, ("start",)),
        ({"enabled": False}, ("enable",)),
        ({"active": False, "enabled": False}, ("start", "enable")),
        ({"stale": True}, ("restart",)),
        ({"active": False, "stale": True}, ("start",)),
    ],
)
def test_a_member_with_data(changes: dict, steps: tuple[str, ...]) -> None:
    seen = {**ALL, "a": running("a", **changes)}
    assert planned("a", seen, cluster(member("a", healthy=False), member("b"), member("c"))).steps == steps


def test_an_unpromoted_learner_is_promoted() -> None:
    found = cluster(member("a"), member("b", learner=True))
    assert planned("b", hosts(running("a"), running("b")), found).steps == ("promote",)


def test_a_stopped_learner_is_started_and_promoted() -> None:
    found = cluster(member("a"), member("b", learner=True, healthy=False))
    todo = planned("b", hosts(running("a"), running("b", active=False)), found)
    assert todo.starting == ("start",)
    assert todo.converging == ("promote",)


def test_a_changed_peer_url_is_updated() -> None:
    found = cluster(replace(member("a"), peer_urls=("https://10.0.0.1:2380",)), member("b"), member("c"))
    assert planned("a", ALL, found).steps == ("update_peer_urls",)


def test_a_new_host_joins_as_a_learner() -> None:
    todo = planned("b", hosts(running("a"), empty("b")), cluster(member("a")))
    assert todo == Plan("join", ("add_learner", "first_start", "promote"))
    assert not todo.starting


def test_an_added_member_that_never_started_is_started() -> None:
    found = cluster(member("a"), member("b", started=False, learner=True))
    assert planned("b", hosts(running("a"), empty("b")), found).steps == ("first_start", "promote")
    voter = cluster(member("a"), member("b"), member("c", started=False))
    assert planned("c", hosts(running("a"), running("b"), empty("c")), voter).steps == ("first_start",)


def test_a_member_that_lost_its_data_rejoins() -> None:
    found = cluster(member("a"), member("b"), member("c", healthy=False))
    todo = planned("c", {**ALL, "c": empty("c", record={"state": "member"})}, found)
    assert todo == Plan("rejoin", ("remove", "add_learner", "first_start", "promote"))


def test_it_does_not_where_the_quorum_would_be_lost() -> None:
    found = cluster(member("a"), member("b", healthy=False), member("c", healthy=False))
    todo = planned("c", {**ALL, "c": empty("c")}, found)
    assert todo.action == "refuse"
    assert "2 are needed (b is not)" in todo.refusal


def test_a_member_that_answers_from_another_directory_is_refused() -> None:
    todo = planned("c", {**ALL, "c": empty("c")}, WHOLE)
    assert "Was etcd_data_dir changed?" in todo.refusal


def test_data_of_another_cluster_is_refused() -> None:
    todo = planned("c", {**ALL, "c": running("c", cluster_id=7)}, WHOLE)
    assert "its data belongs to cluster 7" in todo.refusal


def test_data_of_a_removed_member_needs_consent() -> None:
    seen = {**ALL, "c": running("c", member_id=7)}
    found = cluster(member("a"), member("b"))
    assert "etcd_discard_data_consent=demo" in planned("c", seen, found).refusal
    assert planned("c", seen, found, Consents("demo", discard_data="demo")).steps == (
        "set_data_aside",
        "add_learner",
        "first_start",
        "promote",
    )
    with pytest.raises(EtcdError, match="is 'other', but the cluster's name is 'demo'"):
        planned("c", seen, found, Consents("demo", discard_data="other"))


def test_members_outside_the_inventory_are_left_alone() -> None:
    assert planned("a", hosts(running("a"), running("b")), WHOLE) == Plan()


# --- without a quorum


def test_a_new_cluster_is_made_when_all_are_empty_and_reached() -> None:
    seen = hosts(*map(empty, NAMES))
    for name in NAMES:
        assert planned(name, seen, None) == Plan("bootstrap", ("bootstrap", "enable"))


def test_a_new_cluster_waits_for_all_hosts() -> None:
    todo = planned("a", hosts(empty("a"), empty("b"), empty("c", reached=False)), None)
    assert "not reached: c" in todo.refusal
    assert not todo.await_quorum


def test_nothing_is_made_beside_existing_data() -> None:
    todo = planned("a", hosts(empty("a"), running("b", active=False), running("c", active=False)), None)
    assert "there is data on b, c" in todo.refusal
    assert todo.await_quorum
    assert planned("b", hosts(empty("a"), running("b", active=False)), None).steps == ("start",)


def test_a_half_made_cluster_is_completed() -> None:
    seen = hosts(half_made("a"), empty("b"), empty("c", record={"state": "bootstrap", "members": WANTED}))
    assert planned("a", seen, None) == Plan()
    assert planned("b", seen, None).action == "bootstrap"
    assert planned("c", seen, None).action == "bootstrap"


def test_a_cluster_that_was_whole_once_is_not_made_again() -> None:
    todo = planned("b", hosts(running("a"), empty("b"), empty("c")), None)
    assert todo.refusal
    assert todo.await_quorum
    mixed = planned("b", hosts(half_made("a"), empty("b"), empty("c", record={"state": "member"})), None)
    assert mixed.refusal


def test_a_half_made_cluster_of_other_members_is_not_completed() -> None:
    other = running("a", record={"state": "bootstrap", "members": {"a": WANTED["a"]}})
    assert planned("b", hosts(other, empty("b"), empty("c")), None).refusal


def test_lost_data_of_a_single_member_needs_consent() -> None:
    seen = hosts(empty("a", record={"state": "member"}))
    assert "is a volume not mounted?" in planned("a", seen, None).refusal
    assert planned("a", seen, None, Consents("demo", bootstrap="demo")).action == "bootstrap"


def test_a_stale_member_without_quorum_may_restart() -> None:
    assert planned("a", hosts(running("a", stale=True)), None).steps == ("restart",)


def test_data_that_cannot_be_identified_counts_as_data() -> None:
    unknown = running("b", member_id=0, cluster_id=0)
    assert planned("a", hosts(empty("a"), unknown), None).refusal


# --- quorum


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_quorum(voters: int, needed: int) -> None:
    assert quorum(voters) == needed


@pytest.mark.parametrize(
    ("down", "gone", "allowed"),
    [
        ("", "c", True),
        ("c", "c", True),
        ("b", "c", False),
        ("bc", "c", False),
    ],
)
def test_removal(down: str, gone: str, allowed: bool) -> None:
    found = cluster(*(member(name, healthy=name not in down) for name in NAMES))
    member_gone = found.by_name(gone)
    assert member_gone is not None
    assert (reason_against_removal(found, member_gone) == "") is allowed


def test_the_last_member_stays_and_a_learner_may_always_go() -> None:
    assert reason_against_removal(cluster(member("a")), member("a")) == "it is the last member"
    assert reason_against_removal(cluster(member("a"), member("b", learner=True)), member("b", learner=True)) == ""


@pytest.mark.parametrize(
    ("names", "down", "allowed"),
    [
        ("a", "", True),
        ("ab", "", True),
        ("ab", "b", False),
        ("abc", "", True),
        ("abc", "b", False),
        ("abc", "a", True),
        ("abcde", "b", True),
        ("abcde", "bc", False),
    ],
)
def test_restart(names: str, down: str, allowed: bool) -> None:
    found = cluster(*(member(name, healthy=name not in down) for name in names))
    first = found.by_name("a")
    assert first is not None
    assert (reason_against_restart(found, first) == "") is allowed


# --- texts


def test_initial_cluster_names_the_nameless() -> None:
    members = [member("a"), member("b", started=False, learner=True), member("c", started=False, learner=True)]
    expected = "63=https://c:2380,a=https://a:2380,b=https://b:2380"
    assert initial_cluster(members, "b", "https://b:2380") == expected


def test_first_start_config() -> None:
    standing = "name: a\ninitial-cluster-state: existing\ninitial-cluster-token: demo\n"
    assert first_start_config(standing, "new", "a=https://a:2380") == (
        "name: a\ninitial-cluster-token: demo\ninitial-cluster-state: new\ninitial-cluster: a=https://a:2380\n"
    )


def test_what_is_seen_survives_the_way_through_a_result() -> None:
    assert cluster_from_plain(members_to_plain(WHOLE)) == WHOLE
    assert cluster_from_plain(members_to_plain(None)) is None
    for host in (running("a"), empty("b", reached=False), half_made("c")):
        assert host_from_plain(host_to_plain(host)) == host
