# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.filter.node_in_order import node_in_order
from ansible_collections.caravan.cluster.plugins.filter.nth_address import nth_address
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm import nodes

GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "timeAdded": "2026-11-21T12:00:00Z"}


def wanted(labels: dict[str, str] | None = None, taints: list[dict[str, Any]] | None = None) -> str:
    return nodes.declaration(["10.0.0.21"], labels or {}, taints or [])


def node(labels: dict[str, str] | None = None, taints: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"labels": labels or {}, "taints": taints or []}


def test_a_declaration_is_canonical() -> None:
    one = nodes.declaration(["b", "a"], {"x": "1", "y": "2"}, [{"key": "k", "effect": "NoSchedule"}])
    other = nodes.declaration(["a", "b"], {"y": "2", "x": "1"}, [{"key": "k", "value": None, "effect": "NoSchedule"}])
    assert one == other


def test_a_node_in_order_needs_nothing() -> None:
    target = wanted({"zone": "a"}, [GPU])
    plan = nodes.plan_node(node({"zone": "a", "other": "x"}, [NOT_READY, GPU]), target, target)
    assert nodes.in_order(plan)


def test_missing_and_different_labels_are_set_and_own_ones_removed() -> None:
    before, target = wanted({"zone": "a", "old": "1"}), wanted({"zone": "b", "disk": "ssd"})
    plan = nodes.plan_node(node({"zone": "a", "old": "1", "somebody's": "x"}), before, target)
    assert plan["labels"] == {"zone": "b", "disk": "ssd", "old": None}
    assert plan["declare"]


def test_taints_of_others_are_kept_and_own_ones_removed() -> None:
    plan = nodes.plan_node(node(taints=[NOT_READY, GPU]), wanted(taints=[GPU]), wanted())
    assert plan["taints"] == [NOT_READY]
    plan = nodes.plan_node(node(taints=[NOT_READY]), wanted(), wanted(taints=[{**GPU, "value": ""}]))
    assert plan["taints"] == [NOT_READY, {"key": "gpu", "effect": "NoSchedule"}]


def test_a_taint_that_was_never_declared_is_not_removed() -> None:
    assert nodes.plan_node(node(taints=[GPU]), wanted(), wanted())["taints"] is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"nodes": None}, False),
        ({"nodes": {}}, False),
        ({"nodes": {"worker1": node()}, "declared": {}}, False),
        ({"nodes": {"worker1": node()}, "declared": {"worker1": wanted()}}, True),
        ({"nodes": {"worker1": node(taints=[NOT_READY])}, "declared": {"worker1": wanted()}}, True),
    ],
)
def test_the_filter_says_whether_a_node_is_in_order(state: dict[str, Any], expected: bool) -> None:
    assert node_in_order(state, "worker1", addresses=["10.0.0.21"], labels={}, taints=[]) is expected


def test_addresses_of_a_network() -> None:
    assert nth_address("10.96.0.0/16", 10) == "10.96.0.10"
    assert nth_address("fd00::/108", 10) == "fd00::a"
