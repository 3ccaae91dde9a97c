# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a cluster: nodes, DaemonSets and Deployments against what is expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .predicates import (
    Manifest,
    daemonset_missing,
    deployment_missing,
    name_of,
    nodes_missing,
    nodes_uninitialized,
    pods_missing,
)

# What objects of a kind are called in the API.
KINDS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


class Reader(Protocol):
    """What is read of the API; the client in `client.py`, or a test's own."""

    def nodes(self) -> list[Manifest]: ...
    def pods(self, namespace: str) -> list[Manifest]: ...
    def daemonsets(self, namespace: str) -> list[Manifest]: ...
    def deployments(self, namespace: str) -> list[Manifest]: ...
    def statefulsets(self, namespace: str) -> list[Manifest]: ...


@dataclass(frozen=True)
class Workload:
    namespace: str
    name: str
    kind: str = ""

    @classmethod
    def from_options(cls, options: Sequence[dict[str, Any]]) -> tuple[Workload, ...]:
        return tuple(cls(option["namespace"], option["name"], option.get("kind", "")) for option in options)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Expected:
    """What a cluster has to show. No nodes named: all that are registered.

    initialized: of nodes only that a cloud controller has seen to them.
    """

    nodes: tuple[str, ...] = ()
    daemonsets: tuple[Workload, ...] = ()
    deployments: tuple[Workload, ...] = ()
    workloads: tuple[Workload, ...] = ()
    initialized: bool = False

    def missing(self, reader: Reader) -> list[str]:
        """All that is missing, in words. One list request per kind and namespace, however many nodes there are."""
        nodes = reader.nodes()
        expected = self.nodes or tuple(name_of(node) for node in nodes)
        missing = (nodes_uninitialized if self.initialized else nodes_missing)(nodes, expected)
        if not nodes:
            missing.append("no node has registered")
        for namespace in sorted({workload.namespace for workload in self.daemonsets}):
            found = {name_of(item): item for item in reader.daemonsets(namespace)}
            pods = reader.pods(namespace)
            for workload in self.daemonsets:
                if workload.namespace == namespace:
                    missing.append(daemonset_missing(found.get(workload.name), str(workload), pods, expected))
        for namespace in sorted({workload.namespace for workload in self.deployments}):
            found = {name_of(item): item for item in reader.deployments(namespace)}
            pods = reader.pods(namespace)
            for workload in self.deployments:
                if workload.namespace == namespace:
                    missing.append(deployment_missing(found.get(workload.name), str(workload), pods))
        for namespace in sorted({workload.namespace for workload in self.workloads}):
            pods = reader.pods(namespace)
            wanted = [workload for workload in self.workloads if workload.namespace == namespace]
            for kind in sorted({workload.kind for workload in wanted}):
                found = {name_of(item): item for item in getattr(reader, KINDS[kind])(namespace)}
                missing += [
                    pods_missing(found.get(workload.name), f"{kind} {workload}", pods)
                    for workload in wanted
                    if workload.kind == kind
                ]
        return [entry for entry in missing if entry]
