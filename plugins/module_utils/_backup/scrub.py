# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to go from restored data because it belonged to machines, or to processes, that are no more. Pure.

It is done while etcd runs alone, before any API server: a controller that saw the old Nodes would wait minutes for each
of them, and a DaemonSet that wants a pod on a Node which is gone never finishes its roll-out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .messages import Message
from .registry import stored

# Kinds of workloads: what its last word is in a key, and where in its status the ready pods are counted.
KINDS = {"deployments": ("Deployment", 7), "statefulsets": ("StatefulSet", 3), "daemonsets": ("DaemonSet", 4)}
DECLARED = "/registry/configmaps/kube-system/caravan-nodes"

NODE = "Nodes of machines that are gone"
NODE_LEASE = "their leases"
CSI_NODE = "their CSINodes"
ATTACHMENT = "volumes attached to them"
POD = "their pods"
REQUEST = "certificate requests of their kubelets"
SERVER = "addresses and leases of the old API servers"
LEADER = "leases of the old controllers"
TOKEN = "bootstrap tokens"
DECLARATION = "what was declared of the nodes"

# What the old processes of the control plane held. Their new ones write it again, and would wait for it to expire.
_ALWAYS = (
    (re.compile(r"/registry/masterleases/.+"), SERVER),
    (re.compile(r"/registry/peerserverleases/.+"), SERVER),
    (re.compile(r"/registry/leases/kube-system/apiserver-[a-z0-9]+"), SERVER),
    (re.compile(r"/registry/(services/endpoints|endpointslices)/default/kubernetes"), SERVER),
    (re.compile(r"/registry/leases/kube-system/(kube-controller-manager|kube-scheduler)"), LEADER),
    (re.compile(r"/registry/secrets/kube-system/bootstrap-token-[a-z0-9]{6}"), TOKEN),
)
_OF_A_NODE = (
    (re.compile(r"/registry/minions/([^/]+)"), NODE),
    (re.compile(r"/registry/leases/kube-node-lease/([^/]+)"), NODE_LEASE),
    (re.compile(r"/registry/csinodes/([^/]+)"), CSI_NODE),
)
_READ = re.compile(
    r"/registry/(pods|replicasets|deployments|statefulsets|daemonsets|persistentvolumes|volumeattachments"
    r"|certificatesigningrequests)/(?:([^/]+)/)?([^/]+)"
)

# Field numbers; the first three are those of every object.
_METADATA, _SPEC, _STATUS = 1, 2, 3
_OWNERS, _OWNER_KIND, _OWNER_NAME, _OWNER_CONTROLS = 13, 1, 3, 6
_POD_VOLUMES, _VOLUME_SOURCE, _SOURCE_CLAIM, _CLAIM_NAME, _POD_NODE, _POD_PHASE = 1, 2, 10, 1, 10, 1
_PV_SOURCE, _PV_HOST_PATH, _PV_LOCAL, _PV_CLAIM, _PV_AFFINITY = 2, 3, 20, 4, 9
_CLAIM_NAMESPACE, _CLAIMED_NAME = 2, 3
_AFFINITY_REQUIRED, _AFFINITY_TERMS, _TERM_EXPRESSIONS, _EXPRESSION_KEY, _EXPRESSION_VALUES = 1, 1, 1, 1, 3
_ATTACHED_NODE, _REQUEST_USER = 3, 2
_HOSTNAME = "kubernetes.io/hostname"
_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Workload:
    """`kind` as manifests have it."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Scrub:
    """`deletions`: keys by reason, sorted. `lost`: what cannot come back, in words. `gone`: names of nodes.

    `workloads`: those that had ready pods and can come back.
    """

    deletions: dict[str, list[str]]
    lost: list[str]
    gone: list[str]
    workloads: list[Workload]

    @property
    def keys(self) -> list[str]:
        return sorted(key for keys in self.deletions.values() for key in keys)


@dataclass
class _Seen:
    deletions: dict[str, list[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    ready: list[Workload] = field(default_factory=list)
    # (namespace, claim) -> volume whose data was on a machine that is gone
    volumes: dict[tuple[str, str], str] = field(default_factory=dict)
    # (namespace, ReplicaSet) -> its Deployment
    owners: dict[tuple[str, str], Workload] = field(default_factory=dict)
    # workload -> claims its pods use
    claims: dict[Workload, set[tuple[str, str]]] = field(default_factory=dict)

    def delete(self, reason: str, key: str) -> None:
        self.deletions.setdefault(reason, []).append(key)


def is_read(key: str) -> bool:
    """Whether the value of a key matters; of all others the key alone does."""
    return _READ.fullmatch(key) is not None


def plan(entries: Iterable[tuple[str, bytes]], stay: Collection[str] = ()) -> Scrub:
    """Return what to delete of these keys and values. `stay`: the names of nodes whose machines are still there."""
    seen = _Seen()
    for key, value in entries:
        for pattern, reason in _ALWAYS:
            if pattern.fullmatch(key):
                seen.delete(reason, key)
        for pattern, reason in _OF_A_NODE:
            found = pattern.fullmatch(key)
            if found and found[1] not in stay:
                seen.delete(reason, key)
                if reason == NODE:
                    seen.gone.add(found[1])
        if key == DECLARED and not stay:
            seen.delete(DECLARATION, key)
        found = _READ.fullmatch(key)
        if found:
            _read(seen, key, found[1], found[2] or "", found[3], stored(value), stay)
    lost, waiting = _without_volume(seen)
    return Scrub(
        {reason: sorted(keys) for reason, keys in sorted(seen.deletions.items())},
        sorted(seen.lost) + lost,
        sorted(seen.gone),
        [workload for workload in seen.ready if workload not in waiting],
    )


def summary(scrub: Scrub) -> dict[str, int]:
    """Return the number of deleted keys by reason."""
    return {reason: len(keys) for reason, keys in scrub.deletions.items()}


def _read(
    seen: _Seen, key: str, resource: str, namespace: str, name: str, item: Message, stay: Collection[str]
) -> None:
    if resource == "pods":
        _read_pod(seen, key, namespace, name, item, stay)
    elif resource == "replicasets":
        kind, owner = _controller(item)
        if kind:
            seen.owners[namespace, name] = Workload(kind, namespace, owner)
    elif resource in KINDS:
        kind, ready = KINDS[resource]
        if item.message(_STATUS).number(ready) > 0:
            seen.ready.append(Workload(kind, namespace, name))
    elif resource == "persistentvolumes":
        _read_volume(seen, name, item.message(_SPEC), stay)
    elif resource == "volumeattachments":
        if item.message(_SPEC).text(_ATTACHED_NODE) not in stay:
            seen.delete(ATTACHMENT, key)
    else:
        user = item.message(_SPEC).text(_REQUEST_USER)
        node = user[len("system:node:") :] if user.startswith("system:node:") else None
        if user.startswith("system:bootstrap:") or (node is not None and node not in stay):
            seen.delete(REQUEST, key)


def _read_pod(seen: _Seen, key: str, namespace: str, name: str, pod: Message, stay: Collection[str]) -> None:
    spec = pod.message(_SPEC)
    kind, owner = _controller(pod)
    if kind:
        claims = {
            (namespace, volume.message(_VOLUME_SOURCE, _SOURCE_CLAIM).text(_CLAIM_NAME))
            for volume in spec.messages(_POD_VOLUMES)
            if volume.message(_VOLUME_SOURCE).has(_SOURCE_CLAIM)
        }
        if claims:
            seen.claims.setdefault(Workload(kind, namespace, owner), set()).update(claims)
    node = spec.text(_POD_NODE)
    if not node or node in stay:
        return
    seen.delete(POD, key)
    if not kind and pod.message(_STATUS).text(_POD_PHASE) not in _FINISHED:
        seen.lost.append(f"Pod {namespace}/{name}: it was on {node}, and nothing makes it again")


def _read_volume(seen: _Seen, name: str, spec: Message, stay: Collection[str]) -> None:
    source = spec.message(_PV_SOURCE)
    if not (source.has(_PV_HOST_PATH) or source.has(_PV_LOCAL)):
        # An affinity to zones, say: the volume is somewhere else than on a node.
        return
    nodes = {
        node
        for term in spec.message(_PV_AFFINITY, _AFFINITY_REQUIRED).messages(_AFFINITY_TERMS)
        for expression in term.messages(_TERM_EXPRESSIONS)
        if expression.text(_EXPRESSION_KEY) == _HOSTNAME
        for node in expression.texts(_EXPRESSION_VALUES)
    }
    if nodes & set(stay) or (stay and not nodes):
        return
    where = f"the disk of {', '.join(sorted(nodes))}" if nodes else "the disk of a node"
    claim = spec.message(_PV_CLAIM)
    if claim.text(_CLAIMED_NAME):
        seen.volumes[claim.text(_CLAIM_NAMESPACE), claim.text(_CLAIMED_NAME)] = name
    seen.lost.append(f"PersistentVolume {name}: its data was on {where}, which is gone")


def _without_volume(seen: _Seen) -> tuple[list[str], set[Workload]]:
    """What is said of workloads that wait for a volume which is gone, and which ones they are."""
    lost: list[str] = []
    waiting: set[Workload] = set()
    for workload, claims in seen.claims.items():
        volumes = sorted({seen.volumes[claim] for claim in claims if claim in seen.volumes})
        if volumes:
            root = seen.owners.get((workload.namespace, workload.name)) if workload.kind == "ReplicaSet" else None
            waiting.add(root or workload)
            lost.append(f"{root or workload}: it waits for the PersistentVolume {', '.join(volumes)}")
    return sorted(set(lost)), waiting


def _controller(item: Message) -> tuple[str, str]:
    """(kind, name) of the owner that controls an object; empty where nothing does."""
    for owner in item.message(_METADATA).messages(_OWNERS):
        if owner.number(_OWNER_CONTROLS):
            return owner.text(_OWNER_KIND), owner.text(_OWNER_NAME)
    return "", ""


def to_plain(scrub: Scrub) -> dict[str, object]:
    """Return what is kept in the record of a restore, and told of it."""
    return {
        "deleted": summary(scrub),
        "gone": scrub.gone,
        "lost": scrub.lost,
        "workloads": [workload_to_plain(workload) for workload in scrub.workloads],
    }


def workload_to_plain(workload: Workload) -> Mapping[str, str]:
    return {"kind": workload.kind, "namespace": workload.namespace, "name": workload.name}
