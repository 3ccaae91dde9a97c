# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which workloads have to start anew to trust a new authority: programs read whom to trust when they start. Pure.

Newer clients look again by themselves, but what a pod runs cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Says on a pod template for which certificates its pods were started.
ANNOTATION = "caravan.cluster/trusts"
RESTARTABLE = {"Deployment": "deployments", "DaemonSet": "daemonsets", "StatefulSet": "statefulsets"}


@dataclass(frozen=True, order=True)
class Workload:
    """What pods belong to."""

    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Return its place in the API."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{RESTARTABLE[self.kind]}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def reads_authority(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod is given the certificate of the cluster's authority, and still runs."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    sources = [
        source
        for volume in pod["spec"].get("volumes") or []
        for source in (volume.get("projected") or {}).get("sources") or []
    ]
    return any((source.get("configMap") or {}).get("name") == "kube-root-ca.crt" for source in sources)


def _owner(item: Mapping[str, Any]) -> Workload | None:
    for owner in item["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return Workload(owner["kind"], item["metadata"]["namespace"], owner["name"])
    return None


def to_restart(
    pods: Iterable[Mapping[str, Any]], replicasets: Iterable[Mapping[str, Any]], digest: str
) -> tuple[list[Workload], list[str]]:
    """Return (workloads with pods that were not started for `digest`, pods that belong to no such workload)."""
    deployments = {_place(item): _owner(item) for item in replicasets}
    workloads: set[Workload] = set()
    others: list[str] = []
    for pod in pods:
        if not reads_authority(pod) or (pod["metadata"].get("annotations") or {}).get(ANNOTATION) == digest:
            continue
        owner = _owner(pod)
        if owner is not None and owner.kind == "ReplicaSet":
            owner = deployments.get((owner.namespace, owner.name))
        if owner is not None and owner.kind in RESTARTABLE:
            workloads.add(owner)
        else:
            others.append("/".join(_place(pod)))
    return sorted(workloads), sorted(others)


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def template_patch(digest: str) -> dict[str, Any]:
    """Return the patch that starts a workload's pods anew, rolling."""
    return {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: digest}}}}}


def awaited(workload: Mapping[str, Any]) -> str:
    """Return what a workload's roll-out still waits for; empty when it is through."""
    spec, status = workload["spec"], workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return "its controller has not seen the change yet"
    if workload["kind"] == "DaemonSet":
        wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
        ready = status.get("numberAvailable", 0)
    else:
        wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
        ready = status.get("availableReplicas", 0)
    if updated < wanted or ready < wanted or status.get("replicas", 0) > wanted > 0:
        return f"{updated} of {wanted} pods are new, {ready} are available"
    return ""
