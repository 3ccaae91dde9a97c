# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done on one host to make it the member the inventory wants. Pure.

Everything is decided from what is seen, never from what an earlier run meant to do: a run that was cut off anywhere is
completed by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .model import Cluster, EtcdError, Host, Member

BOOTSTRAP_CONSENT = "etcd_bootstrap_consent"
DISCARD_CONSENT = "etcd_discard_data_consent"

BOOTSTRAPPING = "bootstrap"
MEMBER = "member"

# Steps that need no one else and are done on all hosts at once ...
BOOTSTRAP = "bootstrap"
START = "start"
ENABLE = "enable"
STARTING = (BOOTSTRAP, START, ENABLE)
# ... and steps that change the membership or stop a member: one host after another, health proven in between.
SET_ASIDE = "set_data_aside"
REMOVE = "remove"
ADD = "add_learner"
FIRST_START = "first_start"
PROMOTE = "promote"
UPDATE = "update_peer_urls"
RESTART = "restart"


@dataclass(frozen=True)
class Consents:
    """Consent variables hold the cluster's name to be valid."""

    cluster_name: str
    bootstrap: str = ""
    discard_data: str = ""

    def allows(self, name: str, value: str) -> bool:
        if value and value != self.cluster_name:
            raise EtcdError(f"{name} is '{value}', but the cluster's name is '{self.cluster_name}'")
        return bool(value)


@dataclass(frozen=True)
class Plan:
    """Steps in their order. `refusal`: nothing may be done, and why. `await_quorum`: the refusal holds only as long as
    no quorum answers, and members that were just started may still form one."""

    action: str = "nothing"
    steps: tuple[str, ...] = ()
    refusal: str = ""
    await_quorum: bool = False

    @property
    def starting(self) -> tuple[str, ...]:
        return tuple(step for step in self.steps if step in STARTING)

    @property
    def converging(self) -> tuple[str, ...]:
        return tuple(step for step in self.steps if step not in STARTING)


def quorum(voters: int) -> int:
    return voters // 2 + 1


def plan(
    name: str, hosts: Mapping[str, Host], wanted: Mapping[str, str], cluster: Cluster | None, consents: Consents
) -> Plan:
    """The plan of host `name`.

    `hosts` has every host of the inventory's group, `wanted` their peer URLs by name; `cluster` is None as long as no
    member with quorum answers.
    """
    if cluster is not None:
        return _plan_in_cluster(hosts[name], wanted[name], cluster, consents)
    return _plan_without_cluster(hosts[name], hosts, wanted, consents)


def _plan_in_cluster(host: Host, peer_url: str, cluster: Cluster, consents: Consents) -> Plan:
    if host.has_data:
        if not host.member_id:
            return Plan("refuse", refusal=f"{host.name}: the write-ahead log in its data directory cannot be read")
        if host.cluster_id is not None and host.cluster_id != cluster.id:
            return Plan(
                "refuse",
                refusal=f"{host.name}: its data belongs to cluster {host.cluster_id:x}, the members that answer are "
                f"cluster {cluster.id:x}. Two clusters share a name or an address",
            )
        member = cluster.by_id(host.member_id)
        if member is not None:
            return _plan_member(host, member, peer_url, cluster)
        if not consents.allows(DISCARD_CONSENT, consents.discard_data):
            return Plan(
                "refuse",
                refusal=f"{host.name}: its data is of a member the cluster has removed. To move the data aside and "
                f"join anew, set {DISCARD_CONSENT}={consents.cluster_name}",
            )
        known = cluster.by_name(host.name, peer_url)
        return _plan_empty(host, known, cluster, before=(SET_ASIDE,))
    return _plan_empty(host, cluster.by_name(host.name, peer_url), cluster)


def _plan_member(host: Host, member: Member, peer_url: str, cluster: Cluster) -> Plan:
    steps: list[str] = []
    if not host.active:
        steps.append(START)
    if not host.enabled:
        steps.append(ENABLE)
    if tuple(member.peer_urls) != (peer_url,):
        steps.append(UPDATE)
    if member.learner:
        steps.append(PROMOTE)
    if host.active and host.stale:
        steps.append(RESTART)
    return Plan(steps[0] if steps else "nothing", tuple(steps))


def _plan_empty(host: Host, member: Member | None, cluster: Cluster, before: tuple[str, ...] = ()) -> Plan:
    """The data directory is empty (or will be, after the steps `before`)."""
    if member is None:
        return Plan("join", (*before, ADD, FIRST_START, PROMOTE))
    if member.healthy:
        return Plan(
            "refuse",
            refusal=f"{host.name}: the member answers, but its data is not in the data directory that is configured. "
            "Was etcd_data_dir changed?",
        )
    if not member.started:
        return Plan("join", (*before, FIRST_START, *((PROMOTE,) if member.learner else ())))
    reason = reason_against_removal(cluster, member)
    if reason:
        return Plan("refuse", refusal=f"{host.name}: its data is gone, but its member cannot be replaced: {reason}")
    return Plan("rejoin", (*before, REMOVE, ADD, FIRST_START, PROMOTE))


def _plan_without_cluster(host: Host, hosts: Mapping[str, Host], wanted: Mapping[str, str], consents: Consents) -> Plan:
    if host.has_data:
        steps = ([] if host.active else [START]) + ([] if host.enabled else [ENABLE])
        if host.active and host.stale:
            # Perhaps the configuration that was just put right is what kept it from answering.
            steps.append(RESTART)
        return Plan(steps[0] if steps else "nothing", tuple(steps))
    holders = sorted(other.name for other in hosts.values() if other.has_data)
    were_members = sorted(other.name for other in hosts.values() if other.record.get("state") == MEMBER)
    away = sorted(other.name for other in hosts.values() if not other.reached)
    if holders and (were_members or not _is_half_made(hosts, wanted)):
        return Plan(
            "refuse",
            refusal=f"{host.name}: no member with quorum answers, and there is data on {', '.join(holders)}"
            + (f"; not reached: {', '.join(away)}" if away else "")
            + ". Bring those members up first, or restore a snapshot; nothing is made anew beside existing data",
            await_quorum=True,
        )
    if were_members and not consents.allows(BOOTSTRAP_CONSENT, consents.bootstrap):
        return Plan(
            "refuse",
            refusal=f"{host.name}: {', '.join(were_members)} had data of this cluster, which is gone now (is a volume "
            f"not mounted?). To begin with an empty cluster, set {BOOTSTRAP_CONSENT}={consents.cluster_name}",
        )
    if away:
        return Plan(
            "refuse",
            refusal=f"{host.name}: a new cluster is made only when all its members are reached; not reached: "
            f"{', '.join(away)}",
        )
    return Plan("bootstrap", (BOOTSTRAP, ENABLE))


def _is_half_made(hosts: Mapping[str, Host], wanted: Mapping[str, str]) -> bool:
    """Whether all data there is comes from making exactly this cluster, which was never seen whole."""
    return all(
        host.record.get("state") == BOOTSTRAPPING and dict(host.record.get("members") or {}) == dict(wanted)
        for host in hosts.values()
        if host.has_data
    )


def reason_against_removal(cluster: Cluster, member: Member) -> str:
    """Why removing a member would lose the quorum; empty when it may go."""
    if member.learner:
        return ""
    rest = [voter for voter in cluster.voters if voter.id != member.id]
    healthy = [voter for voter in rest if voter.healthy]
    if not rest:
        return "it is the last member"
    if len(healthy) < quorum(len(rest)):
        down = ", ".join(voter.title for voter in rest if not voter.healthy)
        return f"of {len(rest)} that remain {len(healthy)} are healthy, {quorum(len(rest))} are needed ({down} is not)"
    return ""


def reason_against_restart(cluster: Cluster, member: Member) -> str:
    """Why stopping a member for a moment would lose the quorum; empty when it may stop.

    With one or two members every restart is an interruption; it is allowed as long as the others are healthy.
    """
    if member.learner or not member.healthy:
        return ""
    others = [voter for voter in cluster.voters if voter.id != member.id]
    healthy = [voter for voter in others if voter.healthy]
    if len(healthy) == len(others) or len(healthy) >= quorum(len(cluster.voters)):
        return ""
    down = ", ".join(voter.title for voter in others if not voter.healthy)
    return f"without it {len(healthy)} of {len(cluster.voters)} members would be healthy ({down} is not)"


def initial_cluster(members: Sequence[Member], name: str, peer_url: str) -> str:
    """etcd's `initial-cluster` for a host that joins. Members without a name yet get their ID as one."""
    pairs = []
    for member in members:
        for url in member.peer_urls:
            pairs.append(f"{name if url == peer_url else member.name or format(member.id, 'x')}={url}")
    return ",".join(sorted(pairs))


def first_start_config(config: str, state: str, cluster: str) -> str:
    """The configuration for the first start, which alone says how the cluster is made or joined.

    The standing one has `initial-cluster-state: existing` and no `initial-cluster`: a member that finds its data
    directory empty then fails to start, in place of making a cluster of its own.
    """
    lines = [
        line for line in config.splitlines() if not line.startswith(("initial-cluster:", "initial-cluster-state:"))
    ]
    return "\n".join([*lines, f"initial-cluster-state: {state}", f"initial-cluster: {cluster}"]) + "\n"
