# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm import planner
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm.errors import KubeadmError

ALL = dict.fromkeys(planner.CONTROL_PLANE_MANIFESTS, "sha")


def state(**changes: Any) -> dict[str, Any]:
    """An empty machine with an etcd that answers and is empty."""
    return {
        "complete": False,
        "started": "",
        "kubelet_conf": "missing",
        "manifests": {},
        "admin_conf": False,
        "kubelet": {"active": False, "enabled": False, "stale": False},
        "api_healthy": False,
        "api_detail": "",
        "etcd_keys": 0,
        "etcd_error": "",
        "applied": {},
        "inputs": "",
        **changes,
    }


def member(**changes: Any) -> dict[str, Any]:
    """A complete, healthy control-plane node."""
    return state(
        complete=True,
        kubelet_conf="valid",
        manifests=ALL,
        admin_conf=True,
        kubelet={"active": True, "enabled": True, "stale": False},
        api_healthy=True,
        etcd_keys=None,
        **changes,
    )


def test_on_empty_machines_one_host_starts_the_cluster_and_the_others_join_it() -> None:
    plan = planner.plan_control_plane({"cp2": state(), "cp1": state(), "cp3": state()})
    assert plan["error"] == ""
    assert plan["init_host"] == "cp1"
    assert plan["actions"] == {"cp1": "init", "cp2": "join", "cp3": "join"}


def test_an_unreachable_first_host_does_not_matter() -> None:
    plan = planner.plan_control_plane({"cp3": state(), "cp2": state()})
    assert plan["actions"] == {"cp2": "init", "cp3": "join"}


def test_any_healthy_host_leads_and_new_ones_join() -> None:
    plan = planner.plan_control_plane({"cp1": state(), "cp2": member(), "cp3": member()})
    assert plan["leaders"] == ["cp2", "cp3"]
    assert plan["actions"] == {"cp1": "join", "cp2": "nothing", "cp3": "nothing"}


def test_a_complete_host_without_a_healthy_api_server_does_not_lead_but_is_left_alone() -> None:
    plan = planner.plan_control_plane({"cp1": {**member(), "api_healthy": False}, "cp2": member()})
    assert plan["leaders"] == ["cp2"]
    assert plan["actions"]["cp1"] == "nothing"


def test_a_cluster_that_is_down_is_never_initialised_over() -> None:
    down = {**member(), "api_healthy": False, "api_detail": "connection refused"}
    plan = planner.plan_control_plane({"cp1": state(), "cp2": down})
    assert plan["actions"] == {}
    assert "cp2: connection refused" in plan["error"]


def test_an_interrupted_init_is_resumed_where_it_began_although_etcd_is_not_empty() -> None:
    begun = state(started="init", manifests=ALL, admin_conf=True, api_healthy=True, etcd_keys=120)
    plan = planner.plan_control_plane({"cp1": state(etcd_keys=120), "cp3": begun})
    assert plan["error"] == ""
    assert plan["leaders"] == []
    assert plan["actions"] == {"cp1": "join", "cp3": "resume_init"}


def test_an_etcd_with_a_cluster_is_refused_unless_there_is_consent() -> None:
    seen = {"cp1": state(etcd_keys=300), "cp2": state(etcd_keys=300)}
    plan = planner.plan_control_plane(seen)
    assert "300" in plan["error"]
    assert "control_plane_adopt_etcd" in plan["error"]
    assert plan["actions"] == {}
    assert planner.plan_control_plane(seen, adopt=True)["actions"] == {"cp1": "init", "cp2": "join"}


def test_an_etcd_that_cannot_be_read_is_refused_except_in_check_mode() -> None:
    seen = {"cp1": state(etcd_keys=None, etcd_error="connection refused")}
    assert "cp1: connection refused" in planner.plan_control_plane(seen)["error"]
    assert planner.plan_control_plane(seen, check_mode=True)["actions"] == {"cp1": "init"}


def test_a_host_whose_etcd_hangs_does_not_start_the_cluster() -> None:
    plan = planner.plan_control_plane({"cp1": state(etcd_keys=None, etcd_error="timed out"), "cp2": state()})
    assert plan["init_host"] == "cp2"


def test_a_member_that_lost_its_mark_leads_after_the_marked_ones() -> None:
    unmarked = {**member(), "complete": False}
    plan = planner.plan_control_plane({"cp1": unmarked, "cp2": member()})
    assert plan["leaders"] == ["cp2", "cp1"]
    assert plan["actions"]["cp1"] == "join"
    assert planner.plan_join(unmarked, True) == ["restart_kubelet", "wait_api", "mark"]


def test_no_host_no_plan() -> None:
    assert planner.plan_control_plane({}, check_mode=True)["init_host"] == ""


@pytest.mark.parametrize(
    ("seen", "steps"),
    [
        (member(), []),
        (state(), ["kubeadm_init", "remove_tokens", "remove_super_admin", "mark"]),
        (
            state(started="init", manifests=ALL),
            ["clear_leaves", "kubeadm_init", "remove_tokens", "remove_super_admin", "mark"],
        ),
    ],
    ids=["complete", "empty", "interrupted"],
)
def test_steps_of_init(seen: dict[str, Any], steps: list[str]) -> None:
    assert planner.plan_init(seen) == steps


ACTIVE = {"active": True, "enabled": True, "stale": False}


@pytest.mark.parametrize(
    ("seen", "control_plane", "steps"),
    [
        (state(complete=True, kubelet_conf="valid"), False, []),
        (state(), False, ["kubeadm_join", "mark"]),
        (state(started="join", kubelet={**ACTIVE}), False, ["reset", "kubeadm_join", "mark"]),
        (state(started="join", kubelet_conf="invalid"), False, ["reset", "kubeadm_join", "mark"]),
        (state(started="join", kubelet_conf="valid", kubelet=ACTIVE), False, ["restart_kubelet", "mark"]),
        (state(), True, ["kubeadm_join", "wait_api", "mark"]),
        (state(started="join", manifests=ALL), True, ["clear_leaves", "kubeadm_join", "wait_api", "mark"]),
        (
            state(started="join", manifests=ALL, kubelet_conf="valid", kubelet=ACTIVE, admin_conf=True),
            True,
            ["restart_kubelet", "wait_api", "mark"],
        ),
        (
            state(started="init", manifests=ALL, kubelet_conf="valid", kubelet=ACTIVE, admin_conf=True),
            True,
            ["clear_leaves", "kubeadm_join", "wait_api", "mark"],
        ),
    ],
    ids=[
        "complete",
        "empty",
        "no credentials yet",
        "cut-off credentials",
        "joined, not marked",
        "empty control plane",
        "control plane without credentials",
        "control plane joined, not marked",
        "an init that lost against another host",
    ],
)
def test_steps_of_join(seen: dict[str, Any], control_plane: bool, steps: list[str]) -> None:
    assert planner.plan_join(seen, control_plane) == steps


def test_a_control_plane_host_is_never_reset() -> None:
    """kubeadm reset would empty /etc/kubernetes/pki, which holds the cluster's identity."""
    for started in ("", "init", "join"):
        for kubelet_conf in ("missing", "valid", "invalid"):
            for active in (True, False):
                seen = state(started=started, kubelet_conf=kubelet_conf, kubelet={"active": active}, manifests=ALL)
                assert "reset" not in planner.plan_join(seen, True)
                assert "reset" not in planner.plan_init(seen)


def test_ignored_errors_are_named() -> None:
    assert planner.ignored_errors([], 6443, resume=False) == ["Port-6443"]
    resumed = planner.ignored_errors(["SystemVerification"], 6443, resume=True)
    assert "SystemVerification" in resumed
    assert "Port-10250" in resumed
    assert "all" not in resumed
    with pytest.raises(KubeadmError, match="name the errors"):
        planner.ignored_errors(["ALL"], 6443, resume=False)


def test_drift_is_a_difference_of_inputs_or_of_manifests() -> None:
    applied = {"inputs": "a", "manifests": ALL}
    assert not planner.control_plane_drift({**member(applied=applied), "inputs": "a"})
    assert planner.control_plane_drift({**member(applied=applied), "inputs": "b"})
    assert planner.control_plane_drift({**member(applied=applied), "inputs": "a", "manifests": {**ALL, "x": "y"}})
    assert not planner.control_plane_drift({**state(applied=applied), "inputs": "b"})


@pytest.mark.parametrize(
    ("active", "stale", "drift", "steps"),
    [
        (True, False, False, []),
        (True, True, False, ["restart_kubelet"]),
        (True, True, True, ["render_control_plane", "restart_kubelet"]),
        (False, False, True, ["restart_kubelet", "render_control_plane"]),
    ],
)
def test_steps_of_reconcile(active: bool, stale: bool, drift: bool, steps: list[str]) -> None:
    kubelet = {"active": active, "stale": stale}
    assert planner.plan_reconcile({**member(), "kubelet": kubelet, "control_plane_drift": drift}) == steps


def test_check_mode_foresees_what_the_files_on_disk_do_not_show_yet() -> None:
    assert planner.plan_reconcile({**member(), "control_plane_drift": False}, forced=True) == ["render_control_plane"]
