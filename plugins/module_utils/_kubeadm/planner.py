# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what a machine needs to be part of the cluster. Pure: dicts in, dicts out.

A *state* is what `observe.observe()` returns for one host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import KubeadmError

INIT = "init"
RESUME_INIT = "resume_init"
JOIN = "join"
NOTHING = "nothing"

CONTROL_PLANE_MANIFESTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")

# kubeadm refuses a machine on which these are found. Each is named; "all" would hide real trouble.
# The port of the API is held by the node's own load balancer on 127.0.0.1, always.
ALWAYS_IGNORED = ("Port-6443",)
# What an interrupted kubeadm leaves behind: the same files and ports, ours.
RESUME_IGNORED = (
    "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml",
    "FileAvailable--etc-kubernetes-kubelet.conf",
    "FileAvailable--etc-kubernetes-bootstrap-kubelet.conf",
    "FileAvailable--etc-kubernetes-pki-ca.crt",
    "DirAvailable--etc-kubernetes-manifests",
    "Port-10250",
    "Port-10257",
    "Port-10259",
)


def ignored_errors(extra: list[str], port: int, resume: bool) -> list[str]:
    """Return the sorted names of the preflight errors kubeadm is told to ignore."""
    if any(name.lower() == "all" for name in extra):
        raise KubeadmError("ignore_preflight_errors: name the errors to ignore; 'all' would hide the next one, too.")
    names = set(extra) | {f"Port-{port}"} | set(ALWAYS_IGNORED)
    if resume:
        names |= set(RESUME_IGNORED)
    return sorted(names)


def finishable(state: Mapping[str, Any], control_plane: bool) -> bool:
    """Say whether kubeadm did all that matters here and only the completion marker is missing.

    The kubelet got its own credentials (kubelet.conf is valid) and runs; a control-plane node has all its manifests,
    which kubeadm writes before it starts the kubelet.
    """
    if state["kubelet_conf"] != "valid" or not state["kubelet"]["active"]:
        return False
    if not control_plane:
        return True
    return all(name in state["manifests"] for name in CONTROL_PLANE_MANIFESTS) and bool(state["admin_conf"])


def partial(state: Mapping[str, Any]) -> bool:
    """Say whether kubeadm left something on a host that is not complete."""
    if state["complete"]:
        return False
    return bool(
        state["started"] or state["manifests"] or state["kubelet_conf"] != "missing" or state["kubelet"]["active"]
    )


def plan_init(state: Mapping[str, Any]) -> list[str]:
    """Return the steps of an init on this host, in order."""
    if state["complete"]:
        return []
    steps = ["clear_leaves"] if partial(state) else []
    return [*steps, "kubeadm_init", "remove_tokens", "remove_super_admin", "mark"]


def plan_join(state: Mapping[str, Any], control_plane: bool) -> list[str]:
    """Return the steps of a join on this host, in order."""
    if state["complete"]:
        return []
    if finishable(state, control_plane) and state["started"] != "init":
        # Somebody may have removed the Node meanwhile; a kubelet registers itself only when it starts.
        return ["restart_kubelet", *(["wait_api"] if control_plane else []), "mark"]
    steps: list[str] = []
    if partial(state):
        # Never `kubeadm reset` on a control-plane host: it would empty /etc/kubernetes/pki, the cluster's identity.
        steps.append("clear_leaves" if control_plane else "reset")
    return [*steps, "kubeadm_join", *(["wait_api"] if control_plane else []), "mark"]


def plan_control_plane(
    states: Mapping[str, Mapping[str, Any]], *, adopt: bool = False, check_mode: bool = False
) -> dict[str, Any]:
    """Decide over all reachable control-plane hosts: who leads, who inits, who joins.

    Any healthy host leads; no host is special. `error` is a refusal for the user, empty when the plan can be carried
    out.
    """
    hosts = sorted(states)
    plan: dict[str, Any] = {"error": "", "actions": {}, "leaders": [], "init_host": ""}
    leaders = [
        h for h in hosts if states[h]["api_healthy"] and states[h]["started"] != "init" and states[h]["admin_conf"]
    ]
    # A completed host leads before one whose completion is only inferred.
    plan["leaders"] = sorted(leaders, key=lambda h: (not states[h]["complete"], h))
    if leaders:
        plan["actions"] = {h: NOTHING if states[h]["complete"] else JOIN for h in hosts}
        return plan

    complete = [h for h in hosts if states[h]["complete"]]
    if complete:
        seen = "; ".join("{}: {}".format(h, states[h]["api_detail"] or "no answer") for h in complete)
        plan["error"] = (
            "The cluster exists on {}, but none of its API servers answers ({}). Nothing is initialised over it. "
            "Look at etcd (systemctl status etcd), the kubelet (journalctl -u kubelet) and the containers "
            "(crictl ps -a) of these hosts, then run again.".format(", ".join(complete), seen)
        )
        return plan

    started = [h for h in hosts if states[h]["started"] == "init"]
    if started:
        plan["init_host"] = started[0]
    else:
        keys = {h: states[h]["etcd_keys"] for h in hosts}
        known = {h: count for h, count in keys.items() if count is not None}
        filled = {h: count for h, count in known.items() if count > 0}
        if filled and not adopt:
            host = sorted(filled)[0]
            plan["error"] = (
                f"etcd, seen from {host}, already holds {filled[host]} Kubernetes keys, but no "
                "reachable control-plane host has a cluster. If control-plane hosts are only "
                "unreachable, make them reachable and run again. If they are gone for good and these "
                "hosts carry the same identity, set control_plane_adopt_etcd to the cluster's name to "
                "build the control plane on this data. If the data is of no use, reset etcd first."
            )
            return plan
        if not known and not check_mode:
            seen = "; ".join("{}: {}".format(h, states[h]["etcd_error"]) for h in hosts)
            plan["error"] = (
                f"No control-plane host can read etcd, so it is not known whether a cluster exists ({seen}). "
                "Bring etcd up first."
            )
            return plan
        plan["init_host"] = sorted(known or keys)[0] if hosts else ""
    plan["actions"] = dict.fromkeys(hosts, JOIN)
    if plan["init_host"]:
        plan["actions"][plan["init_host"]] = RESUME_INIT if started else INIT
    return plan


def control_plane_drift(state: Mapping[str, Any]) -> bool:
    """Say whether the static pods were made from other inputs than those now on disk, or were changed by hand."""
    applied = state["applied"]
    if not state["complete"]:
        return False
    return applied.get("inputs") != state["inputs"] or applied.get("manifests") != state["manifests"]


def plan_reconcile(state: Mapping[str, Any], forced: bool = False) -> list[str]:
    """Return the steps that bring a complete node to its changed configuration, in order.

    A kubelet that was only just started can hang for minutes over the volumes of a static pod that changes at that
    moment, so it is restarted after the static pods, except when it does not run and nothing would move without it.
    """
    render = ["render_control_plane"] if state["control_plane_drift"] or forced else []
    if not state["kubelet"]["active"]:
        return ["restart_kubelet", *render]
    return [*render, *(["restart_kubelet"] if state["kubelet"]["stale"] else [])]
