# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner and the executor together, on a provider in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import saved, spec_read, text
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine, check_consent
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import (
    InvalidError,
    ProviderError,
    RefusedError,
    TransientError,
)
from ansible_collections.caravan.cluster.plugins.module_utils._providers.executor import ApplyError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from ansible_collections.caravan.cluster.plugins.module_utils._providers.planner import Options
from memory import DESCRIPTION, Memory, MemoryStrategy

MACHINES = 5


def described(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DESCRIPTION), **changes}


def with_counts(cp: int, worker: int) -> dict[str, Any]:
    found = described()
    found["pools"][0]["count"], found["pools"][1]["count"] = cp, worker
    return found


def engine(memory: Memory, description: dict[str, Any] | None = None) -> Engine:
    patience = Patience(limit=5, sleep=lambda seconds: None)
    return Engine(MemoryStrategy(spec_read.read(description or described()), memory), patience)


def bring(memory: Memory, description: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """Plan and apply; the lines of the plan."""
    own = engine(memory, description)
    plan = own.plan(options=Options(**options))
    own.apply(plan)
    return text.lines(plan)


@pytest.fixture
def memory() -> Memory:
    """A provider where the cluster stands as described."""
    memory = Memory()
    bring(memory)
    memory.calls.clear()
    return memory


def of_kind(memory: Memory, kind: str) -> list[Any]:
    return sorted((one for one in memory.held.values() if one.kind == kind), key=lambda one: one.name)


def drift(memory: Memory, key: str, **properties: Any) -> None:
    """What somebody else does."""
    one = next(one for one in memory.held.values() if one.key == key)
    memory.held[one.id] = replace(one, properties={**one.properties, **properties})


def test_everything_is_made_in_order() -> None:
    memory = Memory()
    bring(memory)
    assert len(of_kind(memory, "machine")) == MACHINES
    order = {call: position for position, call in enumerate(memory.calls)}
    assert order["create network/main"] < order["create machine/cp-1"] < order["create target/cp-1"]
    assert order["create key/disks"] < order["create volume/worker-1-data"]
    volume = of_kind(memory, "volume")[0]
    assert memory.held[volume.properties["attached_to"]].key == "machine/worker-1"


def test_a_second_run_changes_nothing(memory: Memory) -> None:
    assert bring(memory) == []
    assert memory.calls == []


def test_scale_up_makes_only_what_is_new(memory: Memory) -> None:
    bring(memory, with_counts(3, 4))
    assert sorted(memory.calls) == [
        "create machine/worker-3",
        "create machine/worker-4",
        "create volume/worker-3-data",
        "create volume/worker-4-data",
    ]


def test_scale_down_keeps_the_data(memory: Memory) -> None:
    assert bring(memory, with_counts(3, 1)) == ["delete machine/worker-2", "keep volume/worker-2-data (it holds data)"]
    assert [one.name for one in of_kind(memory, "volume")] == ["worker-1-data", "worker-2-data"]
    # Scaled up again, the machine gets its data back.
    assert bring(memory) == [
        "create machine/worker-2",
        "update volume/worker-2-data (attached_to: (none) -> <machine/worker-2>)",
    ]


def test_a_machine_of_another_size_is_replaced_with_what_hangs_on_it(memory: Memory) -> None:
    description = with_counts(1, 0)
    memory = Memory()
    bring(memory, description)
    memory.calls.clear()
    description["pools"][0]["cpu"] = 8
    bring(memory, description)
    assert memory.calls == ["delete target/cp-1", "delete machine/cp-1", "create machine/cp-1", "create target/cp-1"]


def test_control_plane_machines_are_replaced_one_at_a_time(memory: Memory) -> None:
    description = described()
    description["pools"][0]["cpu"] = 8
    lines = bring(memory, description)
    assert [line for line in lines if line.startswith("replace machine")] == ["replace machine/cp-1 (size: 2x4 -> 8x4)"]
    assert [line.split(" (")[0] for line in lines if line.startswith("later")] == [
        "later machine/cp-2",
        "later machine/cp-3",
    ]
    assert "delete target/cp-2" not in memory.calls
    bring(memory, description)
    bring(memory, description)
    assert bring(memory, description) == []


def test_no_control_plane_machine_goes_while_another_one_is_missing(memory: Memory) -> None:
    gone = next(one for one in of_kind(memory, "machine") if one.name == "cp-3")
    del memory.held[gone.id]
    description = described()
    description["pools"][0]["cpu"] = 8
    lines = bring(memory, description)
    assert "create machine/cp-3" in lines
    assert not [line for line in lines if line.startswith("replace machine")]


def test_a_control_plane_machine_that_waits_keeps_what_leads_to_it(memory: Memory) -> None:
    lines = bring(memory, with_counts(1, 2))
    assert "delete machine/cp-2" in lines and "delete target/cp-2" in lines
    assert "target/cp-3" in {one.key for one in memory.held.values()}


def test_what_others_changed_is_reported_and_left(memory: Memory) -> None:
    drift(memory, "machine/worker-1", labels={"by": "hand"})
    lines = ['drift machine/worker-1 (labels: {"by": "hand"} -> {})']
    assert bring(memory) == lines
    assert memory.calls == []
    bring(memory, revert_drift=True)
    assert memory.calls == ["update machine/worker-1"]


def test_what_the_description_changed_is_changed_and_other_drift_stays(memory: Memory) -> None:
    drift(memory, "volume/worker-1-data", attached_to=None)
    description = described()
    description["pools"][1]["data_disks"][0]["size_gib"] = 200
    bring(memory, description)
    volume = of_kind(memory, "volume")[0]
    assert (volume.properties["size_gib"], volume.properties["attached_to"]) == (200, None)


def test_a_network_is_never_replaced(memory: Memory) -> None:
    with pytest.raises(InvalidError, match=r"network/main: cidr is '10.0.0.0/16'.*infrastructure_network.cidr"):
        bring(memory, described(network={"cidr": "10.9.0.0/16"}))
    assert memory.calls == []


def destroy(memory: Memory, *delete_data: str) -> list[str]:
    own = engine(memory)
    plan = own.plan(present=False, options=Options(delete_data=frozenset(delete_data)))
    own.apply(plan)
    return text.lines(plan)


def test_destruction_leaves_data_and_what_it_needs(memory: Memory) -> None:
    destroy(memory)
    assert sorted(one.key for one in memory.held.values()) == [
        "key/disks",
        "volume/worker-1-data",
        "volume/worker-2-data",
    ]
    order = {call: position for position, call in enumerate(memory.calls)}
    assert order["delete target/cp-1"] < order["delete machine/worker-1"] < order["delete network/main"]


def test_destruction_takes_data_that_is_named(memory: Memory) -> None:
    with pytest.raises(InvalidError, match="key/disks: is named, and volume/worker-1-data, which needs it, is not"):
        destroy(memory, "key/disks", "volume/worker-2-data")
    destroy(memory, "key/disks", "volume/worker-1-data", "volume/worker-2-data")
    assert memory.held == {}


def test_a_plan_that_deletes_asks_for_consent(memory: Memory) -> None:
    own = engine(memory, with_counts(3, 1))
    plan = own.plan()
    with pytest.raises(RefusedError, match=r"deletes machine/worker-2.*wanted infrastructure_consent=demo"):
        check_consent(plan, own.spec, None)
    check_consent(plan, own.spec, "demo")


class Crash(Exception):
    pass


def crash_after(count: int) -> Callable[[str], None]:
    left = [count]

    def before(call: str) -> None:
        if not left[0]:
            raise Crash(call)
        left[0] -= 1

    return before


@pytest.mark.parametrize("count", range(0, 11, 2))
def test_a_run_goes_on_where_another_one_ended(count: int) -> None:
    memory = Memory()
    memory.before = crash_after(count)
    with pytest.raises(ApplyError):
        bring(memory)
    memory.before = lambda call: None
    bring(memory)
    assert len(of_kind(memory, "machine")) == MACHINES
    assert len(memory.calls) == len(set(memory.calls)), "nothing is made twice"
    assert bring(memory) == []


def test_a_double_that_an_interrupted_run_left_goes(memory: Memory) -> None:
    one = of_kind(memory, "machine")[-1]
    memory.held["machine-9999"] = replace(one, id="machine-9999", stamp="", created="9999")
    assert bring(memory) == ["delete machine/worker-2"]
    assert "machine-9999" not in memory.held and one.id in memory.held


def test_what_was_interrupted_before_its_stamp_is_finished(memory: Memory) -> None:
    """Or what others change later would count as ours, and be changed back unasked."""
    one = next(one for one in of_kind(memory, "machine") if one.name == "worker-1")
    memory.held[one.id] = replace(one, stamp="")
    assert bring(memory) == ["update machine/worker-1 (only its stamp)"]
    assert memory.held[one.id] == one
    assert bring(memory) == []


def test_drift_that_the_description_takes_over_is_wanted_from_then_on(memory: Memory) -> None:
    drift(memory, "machine/worker-1", labels={"by": "hand"})
    description = described()
    description["pools"][1].update(count=1, labels={"by": "hand"})
    assert "update machine/worker-1 (only its stamp)" in bring(memory, description)
    drift(memory, "machine/worker-1", labels={})
    lines = bring(memory, description)
    assert [line for line in lines if "machine/worker-1" in line] == [
        'drift machine/worker-1 (labels: {} -> {"by": "hand"})'
    ]


def test_a_disk_does_not_shrink(memory: Memory) -> None:
    description = described()
    description["pools"][1]["data_disks"][0]["size_gib"] = 50
    with pytest.raises(InvalidError, match="size_gib is 100, and the description wants 50; wanted 100 or more"):
        bring(memory, description)
    assert memory.calls == []


def test_a_double_with_data_stays_until_it_is_named(memory: Memory) -> None:
    """Somebody copied a disk with its tags."""
    one = of_kind(memory, "volume")[0]
    memory.held["volume-9999"] = replace(one, id="volume-9999", created="9999")
    assert bring(memory) == ["keep volume/worker-1-data volume-9999 (it holds data)"]
    assert bring(memory, delete_data=frozenset({"volume/worker-1-data"})) == ["delete volume/worker-1-data"]
    assert "volume-9999" not in memory.held and one.id in memory.held


def test_a_double_of_a_control_plane_machine_puts_nothing_off(memory: Memory) -> None:
    one = next(one for one in of_kind(memory, "machine") if one.name == "cp-2")
    memory.held["machine-9999"] = replace(one, id="machine-9999", stamp="", created="9999")
    description = described()
    description["pools"][0]["cpu"] = 8
    lines = bring(memory, description)
    assert [line.split(" (")[0] for line in lines if "machine/cp" in line and "target" not in line] == [
        "replace machine/cp-1",
        "delete machine/cp-2",
        "later machine/cp-2",
        "later machine/cp-3",
    ]


def test_no_control_plane_machine_goes_while_another_one_is_stopped(memory: Memory) -> None:
    drift(memory, "machine/cp-3", running=False)
    description = described()
    description["pools"][0]["cpu"] = 8
    # The one that does not run goes first: the others are still a quorum.
    lines = bring(memory, description)
    assert "replace machine/cp-3 (size: 2x4 -> 8x4)" in lines
    memory = Memory()
    bring(memory, with_counts(5, 2))
    drift(memory, "machine/cp-1", running=False)
    lines = bring(memory, with_counts(3, 2))
    assert [line for line in lines if "machine/cp" in line] == [
        "later machine/cp-4 (machine/cp-1 has to run first)",
        "later machine/cp-5 (machine/cp-1 has to run first)",
    ]


def test_what_is_made_and_deleted_is_waited_for_in_the_lists(memory: Memory) -> None:
    """A provider whose lists are those of a while ago."""
    description = with_counts(3, 2)
    description["pools"][1]["cpu"] = 8
    own = engine(memory, description)
    plan = own.plan()
    lists, old = own.handlers["machine"], list(own.handlers["machine"].observe())
    lags = [old, old, old]
    fresh = lists.observe
    lists.observe = lambda: lags.pop() if lags else fresh()  # type: ignore[method-assign]
    own.apply(plan)
    assert not lags
    assert {one.id for one in own.world.values() if one.kind == "machine"} == {
        one.id for one in of_kind(memory, "machine")
    }


def test_what_is_deleted_and_still_listed_is_not_what_was_made(memory: Memory) -> None:
    """Replaced with the very same properties, as drift is, by a call whose first attempt fails."""
    drift(memory, "machine/worker-1", size="1x1")
    own = engine(memory)
    plan = own.plan(options=Options(revert_drift=True))
    old = next(one for one in of_kind(memory, "machine") if one.name == "worker-1")
    lists, failures = own.handlers["machine"], ["throttled"]
    fresh = lists.observe

    def before(call: str) -> None:
        if call == "create machine/worker-1" and failures:
            raise TransientError(failures.pop())

    memory.before = before
    lists.observe = lambda: [old, *fresh()] if old.id not in memory.held and failures == [] else fresh()  # type: ignore[method-assign]
    seen: list[str] = []
    own.patience = replace(own.patience, sleep=lambda seconds: seen.append("slept"))
    with pytest.raises(ProviderError, match="machine/worker-1 is deleted and still listed"):
        own.apply(plan)
    assert "create machine/worker-1" in memory.calls
    lists.observe = fresh  # type: ignore[method-assign]
    assert engine(memory).plan().actions == ()


def test_what_may_yet_succeed_is_tried_again() -> None:
    memory = Memory()
    failures = ["throttled"] * 3

    def before(call: str) -> None:
        if call == "create machine/cp-1" and failures:
            raise TransientError(failures.pop())

    memory.before = before
    bring(memory)
    assert not failures and len(of_kind(memory, "machine")) == MACHINES


def test_patience_ends_with_what_was_seen_last() -> None:
    memory = Memory()

    def before(call: str) -> None:
        if call == "create machine/cp-1":
            raise TransientError("no capacity yet")

    memory.before = before
    own = engine(memory)
    clock = iter(range(1000))
    own.patience = replace(own.patience, clock=lambda: float(next(clock)))
    with pytest.raises(ProviderError, match="create machine/cp-1: not within 5 s, last seen: no capacity yet"):
        own.apply(own.plan())


def test_an_approved_plan_is_carried_out_only_in_the_same_world(memory: Memory) -> None:
    description = with_counts(3, 4)
    own = engine(memory, description)
    approved = saved.document(own.plan(), "memory", own.spec.infra_id, {})
    saved.check(approved, own.plan(), "memory", own.spec.infra_id, {})
    with pytest.raises(RefusedError, match="the description has changed"):
        saved.check(approved, engine(memory, with_counts(3, 5)).plan(), "memory", own.spec.infra_id, {})
    drift(memory, "machine/worker-1", labels={"by": "hand"})
    with pytest.raises(RefusedError, match=r"the infrastructure has changed[\s\S]*drift machine/worker-1"):
        saved.check(approved, own.plan(), "memory", own.spec.infra_id, {})
    with pytest.raises(RefusedError, match="is for the cluster"):
        saved.check(approved, own.plan(), "memory", "other-12345", {})
    with pytest.raises(RefusedError, match="other settings of the provider"):
        saved.check(approved, own.plan(), "memory", own.spec.infra_id, {"region": "elsewhere"})
