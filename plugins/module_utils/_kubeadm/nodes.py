# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, taints and declared addresses of a Node. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Name and namespace of the ConfigMap in which the addresses of each node are declared. The CSR approver reads it; a
# kubelet cannot write it (unlike annotations of its own Node).
DECLARED_NAMESPACE = "kube-system"
DECLARED_NAME = "caravan-nodes"


def taint_key(taint: Mapping[str, Any]) -> tuple[str, str]:
    """Return what makes two taints the same taint."""
    return (str(taint["key"]), str(taint["effect"]))


def declaration(addresses: list[str], labels: Mapping[str, str], taints: list[dict[str, Any]]) -> str:
    """Return what is recorded of a node: the wanted state, canonical, so that equality is string equality."""
    wanted = {
        "addresses": sorted(addresses),
        "labels": {str(k): str(v) for k, v in labels.items()},
        "taints": sorted(
            ({"key": str(t["key"]), "value": str(t.get("value") or ""), "effect": str(t["effect"])} for t in taints),
            key=lambda t: (t["key"], t["effect"]),
        ),
    }
    return json.dumps(wanted, sort_keys=True)


def plan_node(node: Mapping[str, Any] | None, declared: str | None, wanted: str) -> dict[str, Any]:
    """Compare a Node with the inventory.

    `node`: {"labels": {}, "taints": []} or None when the API does not know it; `declared`: the earlier declaration.
    Returns {"labels": {key: value or None}, "taints": [..] or None, "declare": bool}; all empty when in order.
    Only labels and taints that Caravan set are ever removed: others may be somebody else's.
    """
    target = json.loads(wanted)
    before = json.loads(declared) if declared else {"labels": {}, "taints": []}
    plan: dict[str, Any] = {"labels": {}, "taints": None, "declare": declared != wanted}
    if node is None:
        return plan
    current = node.get("labels") or {}
    for key, value in target["labels"].items():
        if current.get(key) != value:
            plan["labels"][key] = value
    for key in before["labels"]:
        if key not in target["labels"] and key in current:
            plan["labels"][key] = None

    present = list(node.get("taints") or [])
    wanted_keys = {taint_key(t) for t in target["taints"]}
    dropped = {taint_key(t) for t in before["taints"]} - wanted_keys
    kept = [t for t in present if taint_key(t) not in dropped and taint_key(t) not in wanted_keys]
    result = kept + [{k: v for k, v in t.items() if v} for t in target["taints"]]

    def canonical(taints: list[Any]) -> list[tuple[str, str, str]]:
        return sorted((str(t["key"]), str(t.get("value") or ""), str(t["effect"])) for t in taints)

    if canonical(result) != canonical(present):
        plan["taints"] = result
    return plan


def in_order(plan: Mapping[str, Any]) -> bool:
    """Say whether nothing has to be done."""
    return not plan["labels"] and plan["taints"] is None and not plan["declare"]
