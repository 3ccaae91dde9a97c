# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is an object ready? Pure functions on objects as the API sends them; each says what is missing, in words.

An empty answer means ready. A string is what a person needs to know: the object's name and what it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Manifest = dict[str, Any]

TEMPLATE_GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
TEMPLATE_GENERATION_LABEL = "pod-template-generation"
# A kubelet that was told of a cloud controller registers with it; the cloud controller takes it off.
UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"


def condition(manifest: Manifest, kind: str) -> Manifest:
    """The status condition of that type, or an empty dictionary."""
    for entry in manifest.get("status", {}).get("conditions") or []:
        if entry.get("type") == kind:
            found: Manifest = entry
            return found
    return {}


def is_true(manifest: Manifest, kind: str) -> bool:
    return bool(condition(manifest, kind).get("status") == "True")


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def generation_seen(manifest: Manifest) -> bool:
    """Whether the status speaks about the newest specification, and not about an older one."""
    return bool(manifest.get("status", {}).get("observedGeneration", 0) >= manifest["metadata"].get("generation", 0))


def nodes_missing(nodes: Sequence[Manifest], expected: Iterable[str]) -> list[str]:
    """What the expected nodes lack. Nodes nobody expects in this run (a dead host's) are no reason to wait."""
    by_name = {name_of(node): node for node in nodes}
    missing = []
    for name in sorted(expected):
        if name not in by_name:
            missing.append(f"node {name} has not registered")
        elif not is_true(by_name[name], "Ready"):
            message = condition(by_name[name], "Ready").get("message", "no Ready condition yet")
            missing.append(f"node {name} is not Ready: {message}")
    return missing


def nodes_uninitialized(nodes: Sequence[Manifest], expected: Iterable[str]) -> list[str]:
    """Which of the expected nodes the cloud controller has not seen to. They need not be Ready."""
    by_name = {name_of(node): node for node in nodes}
    missing = []
    for name in sorted(expected):
        if name not in by_name:
            missing.append(f"node {name} has not registered")
        elif any(taint["key"] == UNINITIALIZED for taint in by_name[name].get("spec", {}).get("taints") or ()):
            missing.append(
                f"node {name} waits for the cloud controller (kubectl -n kube-system logs ds/cloud-controller-manager)"
            )
    return missing


def pod_problem(pod: Manifest) -> str:
    """Why a pod is not ready, as its containers tell it."""
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            waiting = container.get("state", {}).get("waiting")
            if waiting:
                detail = waiting.get("message") or ""
                return f"{container['name']} {waiting.get('reason', 'waiting')} {detail}".strip()
    return f"phase {status.get('phase', 'unknown')}"


def _owned_by(pod: Manifest, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in pod["metadata"].get("ownerReferences") or [])


def daemonset_missing(daemonset: Manifest | None, name: str, pods: Sequence[Manifest], expected: Iterable[str]) -> str:
    """What a DaemonSet lacks on the expected nodes: a Ready pod of its newest template on each of them.

    Counted per node and not by the status' sums, because those include nodes that are dead at the moment.
    """
    if daemonset is None:
        return f"DaemonSet {name} does not exist"
    if not generation_seen(daemonset):
        return f"DaemonSet {name}: the controller has not seen its newest generation"
    metadata = daemonset["metadata"]
    wanted_template = (metadata.get("annotations") or {}).get(TEMPLATE_GENERATION_ANNOTATION)
    seen: dict[str, str] = {}
    for pod in pods:
        node = pod.get("spec", {}).get("nodeName")
        if not node or not _owned_by(pod, metadata.get("uid", "")) or metadata_of(pod).get("deletionTimestamp"):
            continue
        template = (metadata_of(pod).get("labels") or {}).get(TEMPLATE_GENERATION_LABEL)
        if wanted_template is not None and template != wanted_template:
            seen.setdefault(node, "a pod of an older template")
        elif is_true(pod, "Ready"):
            seen[node] = ""
        else:
            seen[node] = pod_problem(pod)
    lacking = [f"{node} ({seen.get(node, 'no pod')})" for node in sorted(expected) if seen.get(node, "no pod")]
    return f"DaemonSet {name} is not ready on {', '.join(lacking)}" if lacking else ""


def metadata_of(manifest: Manifest) -> Manifest:
    metadata: Manifest = manifest["metadata"]
    return metadata


def _selected_by(pod: Manifest, deployment: Manifest) -> bool:
    wanted = deployment.get("spec", {}).get("selector", {}).get("matchLabels") or {}
    labels = metadata_of(pod).get("labels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def deployment_missing(deployment: Manifest | None, name: str, pods: Sequence[Manifest] = ()) -> str:
    """What a Deployment lacks to be Available at its newest generation, and what its pods say to that."""
    if deployment is None:
        return f"Deployment {name} does not exist"
    if not generation_seen(deployment):
        return f"Deployment {name}: the controller has not seen its newest generation"
    if is_true(deployment, "Available"):
        return ""
    reasons = [condition(deployment, "Available").get("message", "no status yet")]
    for pod in pods:
        if _selected_by(pod, deployment) and not is_true(pod, "Ready"):
            reasons.append(f"{name_of(pod)} ({pod_problem(pod)})")
    return f"Deployment {name} is not Available: {' '.join(reasons)}"


def pods_missing(workload: Manifest | None, name: str, pods: Sequence[Manifest]) -> str:
    """What a workload of any kind lacks until as many of its pods are Ready as it wants."""
    if workload is None:
        return f"{name} does not exist"
    status, spec = workload.get("status", {}), workload.get("spec", {})
    wanted = int(spec.get("replicas", status.get("desiredNumberScheduled", 1)))
    own = [pod for pod in pods if _selected_by(pod, workload) and not metadata_of(pod).get("deletionTimestamp")]
    ready = sum(is_true(pod, "Ready") for pod in own)
    if not spec.get("selector", {}).get("matchLabels"):
        # Selected by expressions, which are not evaluated here.
        ready = int(status.get("readyReplicas", status.get("numberReady", 0)))
    if ready >= wanted:
        return ""
    reasons = [f"{name_of(pod)} ({pod_problem(pod)})" for pod in own if not is_true(pod, "Ready")]
    return f"{name}: {ready} of {wanted} pods are Ready {' '.join(reasons)}".strip()
