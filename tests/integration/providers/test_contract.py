# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every provider has to do, whatever it is made of: the same tests against each stand-in."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import base, planner, text
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import InvalidError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.executor import ApplyError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.model import Plan
from ansible_collections.caravan.cluster.plugins.module_utils._providers.outputs import Machine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from ansible_collections.caravan.cluster.plugins.module_utils._providers.planner import Options
from backend import Backend, twin_of

# For services that take their time. A stand-in that answers at once says so itself.
PATIENCE = Patience(limit=60, first=0.05, longest=0.5)


def engine(backend: Backend, description: dict[str, Any] | None = None) -> Engine:
    patience = getattr(backend, "patience", PATIENCE)
    own = Engine(backend.strategy(description or backend.description()), patience=patience, reading=patience)
    own.validate()
    return own


def bring(backend: Backend, description: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """Plan and apply; the lines of the plan."""
    own = engine(backend, description)
    plan = own.plan(options=Options(**options))
    own.apply(plan)
    return text.lines(plan)


def destroy(backend: Backend, description: dict[str, Any] | None = None, with_data: bool = False) -> Plan:
    own = engine(backend, description)
    data = {one.key for one in own.observe() if own.handlers[one.kind].kind.keeps_data} if with_data else set()
    plan = own.plan(present=False, options=Options(delete_data=frozenset(data)))
    own.apply(plan)
    return plan


def machines(backend: Backend, description: dict[str, Any] | None = None) -> dict[str, Machine]:
    own = engine(backend, description)
    own.observe()
    return {machine.name: machine for machine in own.outputs().machines}


def with_workers(backend: Backend, count: int) -> dict[str, Any]:
    description = backend.description()
    description["pools"][1]["count"] = count
    return description


def test_create_then_nothing_more_to_do(backend: Backend) -> None:
    bring(backend)
    found = machines(backend)
    assert sorted(found) == ["cp-1", "worker-1"]
    for machine in found.values():
        assert machine.state in ("running", "active")
        assert machine.id and machine.address("InternalIP")
    assert len({machine.address("InternalIP") for machine in found.values()}) == len(found)
    backend.traffic.clear()
    assert bring(backend) == []
    assert backend.traffic.mutating == [], "a run without changes only reads"


def test_a_plan_only_reads(backend: Backend) -> None:
    """Check mode is a plan that is not carried out: of a whole cluster, of a change, of a destruction."""
    backend.traffic.clear()
    assert engine(backend).plan()
    bring(backend)
    backend.traffic.clear()
    assert engine(backend, with_workers(backend, 3)).plan()
    assert engine(backend).plan(present=False)
    assert backend.traffic.mutating == []


def test_scale_up_and_down(backend: Backend) -> None:
    bring(backend)
    before = machines(backend)
    bring(backend, with_workers(backend, 3))
    after = machines(backend)
    assert sorted(after) == ["cp-1", "worker-1", "worker-2", "worker-3"]
    assert {name: after[name].id for name in before} == {name: one.id for name, one in before.items()}
    lines = bring(backend, with_workers(backend, 1))
    assert [line for line in lines if "machine" in line] == ["delete machine/worker-2", "delete machine/worker-3"]
    assert {name: one.id for name, one in machines(backend).items()} == {name: one.id for name, one in before.items()}
    backend.traffic.clear()
    bring(backend, with_workers(backend, 1))
    assert backend.traffic.mutating == []


def test_replace_one(backend: Backend) -> None:
    """A machine of another size is a new machine, and the disk with its data is the old one."""
    bring(backend)
    before = {one.key: one.id for one in engine(backend).observe()}
    description = backend.description()
    description["pools"][1].update(cpu=4, memory_gib=16)
    lines = bring(backend, description)
    assert [line.split(" (")[0] for line in lines if "machine" in line and "volume" not in line] == [
        "replace machine/worker-1"
    ]
    own = engine(backend, description)
    after = {one.key: one for one in own.observe()}
    assert after["machine/worker-1"].id != before["machine/worker-1"]
    assert after["machine/cp-1"].id == before["machine/cp-1"]
    for key, one in after.items():
        if one.kind == "volume":
            assert one.id == before[key]
            # Where the machine says which disks it has, the disk does not say where it is.
            machine = after["machine/worker-1"]
            assert one.properties.get("attached_to", machine.id) == machine.id
    assert bring(backend, description) == []


def test_drift_is_found_and_left_and_reverted_when_asked(backend: Backend) -> None:
    bring(backend)
    own = engine(backend)
    own.observe()
    drifts = [one for one in backend.drifts(own) if not one.lasting]
    assert drifts
    for drifted in drifts:
        drifted.change()
    backend.traffic.clear()
    plan = engine(backend).plan()
    assert {(drift.key, drift.change.field) for drift in plan.drift} >= {(one.key, one.field) for one in drifts}
    assert not plan and backend.traffic.mutating == []
    bring(backend, revert_drift=True)
    plan = engine(backend).plan()
    assert not plan and plan.drift == ()


def test_what_cannot_be_changed_back_is_refused(backend: Backend) -> None:
    """Somebody made a disk larger. That is drift, and to revert it is no plan that would fail half-way."""
    bring(backend)
    own = engine(backend)
    own.observe()
    lasting = [one for one in backend.drifts(own) if one.lasting]
    for drifted in lasting:
        drifted.change()
        plan = engine(backend).plan()
        assert not plan and (drifted.key, drifted.field) in {(one.key, one.change.field) for one in plan.drift}
        with pytest.raises(InvalidError, match=drifted.field):
            engine(backend).plan(options=Options(revert_drift=True))


def test_drift_of_every_field_is_tried(backend: Backend) -> None:
    """What is compared can be changed by others, and is tried above, or nobody can change it."""
    if not hasattr(backend, "fixed"):
        pytest.skip("the stand-in does not tell what nobody can change")
    bring(backend)
    own = engine(backend)
    own.observe()
    own.strategy.connect()
    compared = {
        f"{one.kind}.{name}"
        for one in own.strategy.desired(own.strategy.failure_domains())
        for name in set(one.properties) - own.handlers[one.kind].kind.create_only
    }
    tried = {f"{one.key.split('/')[0]}.{one.field}" for one in backend.drifts(own)}
    assert compared == tried | set(backend.fixed)
    assert not tried & set(backend.fixed)


def test_a_machine_that_somebody_deleted_is_made_again(backend: Backend) -> None:
    bring(backend)
    own = engine(backend)
    plan = own.plan()
    worker = own.world["machine/worker-1"]
    own.patience(lambda attempts: own.handlers["machine"].delete(worker))
    lines = bring(backend)
    assert "create machine/worker-1" in lines
    assert not plan and bring(backend) == []


def test_a_twin_is_not_touched(backend: Backend) -> None:
    """Another cluster of the same name, side by side with ours, survives all that is done to ours."""
    twin = twin_of(backend)
    bring(backend, twin)
    others = backend.everything()
    bring(backend)
    assert bring(backend, twin) == []
    destroy(backend, with_data=True)
    assert backend.everything() >= others
    assert bring(backend, twin) == []


def test_destruction_keeps_data_until_it_is_named(backend: Backend) -> None:
    foreign = backend.everything()
    bring(backend)
    plan = destroy(backend)
    kinds = engine(backend).handlers
    left = engine(backend).observe()
    assert sorted(one.key for one in left) == list(plan.kept)
    assert all(kinds[one.kind].kind.keeps_data for one in left)
    assert left or not any(handler.kind.keeps_data for handler in kinds.values())
    destroy(backend, with_data=True)
    assert engine(backend).observe() == []
    assert backend.everything() == foreign, "nothing that is ours is left, and all that is not is there"


def smallest(backend: Backend) -> dict[str, Any]:
    """One machine in one failure domain, and all kinds of resources."""
    description = backend.description()
    masters, workers = description["pools"]
    roles = [*masters["roles"], *workers["roles"]]
    own = engine(backend, description)
    own.strategy.connect()
    zones = own.strategy.failure_domains()
    return {**description, "failure_domains": list(zones[:1]), "pools": [{**workers, **masters, "roles": roles}]}


def whole(backend: Backend, description: dict[str, Any]) -> tuple[set[str], int, int]:
    """What is there when nothing is interrupted: keys of ours, how much there is at all, and after how many calls."""
    backend.traffic.clear()
    own = engine(backend, description)
    own.apply(own.plan())
    return set(own.world), len(backend.everything()), len(backend.traffic.mutating)


def check_finished(own: Engine, backend: Backend, expected: tuple[set[str], int, int], when: str) -> None:
    """Nothing is missing, nothing differs, and nothing is there that nobody owns. From what the run saw at its end."""
    desired = own.strategy.desired(own.strategy.failure_domains())
    left = planner.plan(desired, list(own.world.values()), base.kinds(own.handlers))
    assert not left and not left.drift, f"{when}: {text.lines(left)}"
    assert set(own.world) == expected[0], when
    unfinished = [key for key, one in own.world.items() if own.handlers[one.kind].kind.mutable and not one.stamp]
    assert not unfinished, f"{when} these have no stamp"
    assert len(backend.everything()) == expected[1], f"{when} something is there that nobody owns"


def test_every_call_may_be_the_last_one_of_a_run(backend: Backend) -> None:
    """Each run ends, without an answer, at the first call that no run before has come to. So every call is one's last,
    and the next run begins with what that call has left."""
    description = smallest(backend)
    expected = whole(backend, description)
    backend.reset()
    known: set[Any] = set()
    for _run in range(2 * expected[2]):
        backend.traffic.crash_at_new(known)
        own = engine(backend, description)
        try:
            own.apply(own.plan())
            break
        except ApplyError:
            backend.traffic.calm()
    assert len(known) >= expected[2] * 0.8, "every call was the last one of a run"
    check_finished(own, backend, expected, "after as many runs as calls")


def test_a_run_that_was_interrupted_goes_on(backend: Backend) -> None:
    """After a number of calls a run ends without an answer. The next one finds what is there, and does the rest."""
    description = smallest(backend)
    expected = whole(backend, description)
    calls = expected[2]
    for count in range(1, calls, max(1, calls // 5)):
        backend.reset()
        backend.traffic.crash_after(count)
        with pytest.raises(ApplyError):
            bring(backend, description)
        backend.traffic.calm()
        own = engine(backend, description)
        own.apply(own.plan())
        check_finished(own, backend, expected, f"after {count} calls")


def lists_lag(backend: Backend) -> None:
    """Go on where the provider is asked for lists, which may lag behind, and not the machines themselves."""
    backend.traffic.clear()
    engine(backend).plan()
    if not any(request.listing for request in backend.traffic.requests):
        pytest.skip("what is asked here are the things themselves, and no lists")


def test_lists_that_lag_behind_are_waited_for(backend: Backend) -> None:
    """What was just made is not listed for a while, and what was just deleted still is."""
    lists_lag(backend)
    foreign = backend.everything()
    backend.traffic.lag(2)
    own = engine(backend)
    own.apply(own.plan())
    assert sorted(machine.name for machine in own.outputs().machines) == ["cp-1", "worker-1"]
    # Lists of details may lag for longer. Then something seems to be changed by others, and is left as it is.
    assert not engine(backend).plan()
    bring(backend, with_workers(backend, 2))
    bring(backend, with_workers(backend, 1))
    assert not engine(backend, with_workers(backend, 1)).plan()
    assert backend.traffic.stale, "lists did lag behind"
    destroy(backend, with_data=True)
    backend.traffic.calm()
    assert backend.everything() == foreign


def test_an_interrupted_run_goes_on_while_lists_lag_behind(backend: Backend) -> None:
    """The next run cannot see all that the one before has made. What it makes twice goes in the end."""
    lists_lag(backend)
    description = smallest(backend)
    bring(backend, description)
    size = len(backend.everything())
    backend.reset()
    for count in (3, 5, 8, 13):
        backend.traffic.calm()
        backend.traffic.lag(1)
        backend.traffic.crash_after(count)
        with contextlib.suppress(ApplyError):
            bring(backend, description)
    backend.traffic.calm()
    bring(backend, description)
    assert bring(backend, description) == []
    assert len(backend.everything()) == size, "nothing is there twice"


def test_an_interrupted_destruction_goes_on(backend: Backend) -> None:
    foreign = backend.everything()
    bring(backend)
    for attempt in range(20):
        # Some calls are for what has gone already, so each run gets further than the one before.
        backend.traffic.crash_after(4 + 4 * attempt)
        try:
            destroy(backend, with_data=True)
        except ApplyError:
            continue
        finally:
            backend.traffic.calm()
        break
    assert backend.everything() == foreign


def test_throttling_is_waited_out(backend: Backend) -> None:
    backend.traffic.throttle(every=5)
    bring(backend)
    backend.traffic.calm()
    assert bring(backend) == []


def test_an_operation_that_is_under_way_is_waited_out(backend: Backend) -> None:
    backend.traffic.conflict(6)
    bring(backend)
    backend.traffic.calm()
    assert bring(backend) == []


def test_a_network_that_cannot_be_changed_is_refused(backend: Backend) -> None:
    bring(backend)
    backend.traffic.clear()
    description = backend.description()
    description["network"] = {**description["network"], "cidr": "10.77.0.0/16"}
    with pytest.raises(InvalidError, match=r"10\.77\.0\.0/16"):
        bring(backend, description)
    assert backend.traffic.mutating == []
