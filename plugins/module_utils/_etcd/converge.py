# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out, one proven step after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import planner
from .client import Gateway
from .local import LocalMember
from .model import Cluster, EtcdError, Host, Member
from .planner import Consents, Plan, plan


class Waiter:
    """Polls until the answer is no EtcdError. The clock comes from outside, so that tests need no time."""

    def __init__(
        self,
        timeout: float,
        interval: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.timeout = timeout
        self.interval = interval
        self.clock = clock
        self.sleep = sleep

    def until(self, what: str, attempt: Callable[[], Any]) -> Any:
        """The first result that is no EtcdError; after the time-out the last error, with what was awaited."""
        deadline = self.clock() + self.timeout
        while True:
            try:
                return attempt()
            except EtcdError as error:
                if self.clock() >= deadline:
                    raise EtcdError(f"{what}: not within {self.timeout:.0f} s; seen last: {error}") from None
            self.sleep(self.interval)


@dataclass
class Convergence:
    """One host's way to the wanted membership. `done` names the steps carried out, for the result."""

    local: LocalMember
    gateway: Gateway
    hosts: Mapping[str, Host]
    wanted: Mapping[str, str]
    consents: Consents
    waiter: Waiter
    done: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.local.name

    @property
    def peer_url(self) -> str:
        return self.wanted[self.name]

    def start(self, steps: Sequence[str]) -> None:
        """The steps that need no one else, as planned from one look at all hosts: members of a new cluster that are up
        already must not change the plan of the others. Not waited for: it answers when all are started.
        """
        for step in steps:
            if step == planner.BOOTSTRAP and not self.local.observe().has_data:
                self.local.keep_record({"state": planner.BOOTSTRAPPING, "members": dict(self.wanted)})
                pairs = ",".join(f"{name}={url}" for name, url in sorted(self.wanted.items()))
                self.local.prepare_first_start("new", pairs)
                # It may be running in vain on the standing configuration.
                self.local.restart()
            elif step in (planner.BOOTSTRAP, planner.START):
                self.local.start()
            elif step == planner.ENABLE:
                self.local.enable()
            self.done.append(step)

    def converge(self) -> None:
        """The steps that change the membership or stop this member, each proven before the next."""
        cluster, todo = self._settled_plan()
        for step in todo.converging:
            if cluster is None and step != planner.RESTART:
                raise EtcdError(f"{self.name}: {step} needs a member with quorum")
            if step == planner.SET_ASIDE:
                self.local.set_data_aside()
            elif step == planner.REMOVE:
                self._remove()
            elif step == planner.ADD:
                self.waiter.until(f"{self.name}: joining as a learner", self._add)
            elif step == planner.FIRST_START:
                self._first_start()
            elif step == planner.PROMOTE:
                self.waiter.until(f"{self.name}: promotion of the learner", self._promote)
            elif step == planner.UPDATE:
                self.waiter.until(f"{self.name}: change of the peer URL", self._update)
            elif step == planner.RESTART:
                self._restart(cluster)
            self.done.append(step)
        if todo.converging:
            self.prove()

    def prove(self) -> Cluster:
        """Wait until this member is proven healthy, and remember it as a member."""
        try:
            cluster = self.waiter.until(f"{self.name}: a healthy member", self.check)
        except EtcdError as error:
            raise EtcdError(f"{error}\nThe last lines of etcd's journal:\n{self.local.journal()}") from None
        if self.local.keep_record(self.record_of(cluster)):
            self.done.append("record")
        self.local.clear_first_start()
        return cluster

    def check(self) -> Cluster:
        """The proof: a linearizable read through this member works, it is a started voter, and its own view of the
        member list is the quorum's. Raises EtcdError with what is missing.
        """
        return check(self.gateway, self.name)

    def record_of(self, cluster: Cluster) -> dict[str, Any]:
        return record_of(cluster, self._own(cluster))

    def _plan(self, cluster: Cluster | None) -> Plan:
        hosts = {**self.hosts, self.name: self.local.observe()}
        todo = plan(self.name, hosts, self.wanted, cluster, self.consents)
        if todo.refusal and not todo.await_quorum:
            raise EtcdError(todo.refusal)
        return todo

    def _settled_plan(self) -> tuple[Cluster | None, Plan]:
        """The plan as soon as a quorum answers; members that were started a moment ago are given their time."""

        cluster = self.gateway.cluster()
        todo = self._plan(cluster)
        if cluster is not None:
            return cluster, todo
        try:
            cluster = self._quorate()
        except EtcdError as error:
            if todo.refusal:
                raise EtcdError(f"{todo.refusal} ({error})") from None
            return None, todo
        return cluster, self._plan(cluster)

    def _require_cluster(self) -> Cluster:
        cluster = self.gateway.cluster()
        if cluster is None:
            raise EtcdError(self.gateway.no_quorum())
        return cluster

    def _quorate(self) -> Cluster:
        return self.waiter.until(f"{self.name}: etcd's quorum", self._require_cluster)

    def _own(self, cluster: Cluster) -> Member:
        member = cluster.by_name(self.name, self.peer_url)
        if member is None:
            raise EtcdError(f"{self.name} is not in the member list")
        return member

    def _remove(self) -> None:
        def attempt() -> None:
            cluster = self._require_cluster()
            member = cluster.by_name(self.name, self.peer_url)
            if member is None:
                return
            reason = planner.reason_against_removal(cluster, member)
            if reason:
                raise EtcdError(reason)
            self.gateway.remove(member.id)

        self.waiter.until(f"{self.name}: removal of the member whose data is gone", attempt)

    def _add(self) -> None:
        if self._require_cluster().by_name(self.name, self.peer_url) is None:
            self.gateway.add_learner(self.peer_url)

    def _update(self) -> None:
        self.gateway.update(self._own(self._require_cluster()).id, self.peer_url)

    def _first_start(self) -> None:
        cluster = self._quorate()
        self._own(cluster)
        self.local.prepare_first_start("existing", planner.initial_cluster(cluster.members, self.name, self.peer_url))
        # It may be running in vain on the standing configuration.
        self.local.restart()
        self.local.enable()
        self.waiter.until(f"{self.name}: the first start", self._check_started)

    def _check_started(self) -> None:
        if not self._own(self._require_cluster()).started:
            raise EtcdError(f"it has not announced itself yet\n{self.local.journal()}")

    def _promote(self) -> None:
        member = self._own(self._require_cluster())
        if member.learner:
            self.gateway.promote(member.id)

    def _restart(self, cluster: Cluster | None) -> None:
        if cluster is not None:
            # The others may still be coming back from a restart of their own.
            self.waiter.until(f"{self.name}: leave to restart", self._check_restart)
        before = self.local.started_at()
        self.local.restart()

        def attempt() -> None:
            if self.local.started_at() == before:
                raise EtcdError("the old process is still there")

        self.waiter.until(f"{self.name}: restart", attempt)

    def _check_restart(self) -> None:
        cluster = self._require_cluster()
        reason = planner.reason_against_restart(cluster, self._own(cluster))
        if reason:
            raise EtcdError(reason)


def check(gateway: Gateway, name: str) -> Cluster:
    if not gateway.is_healthy(gateway.local):
        raise EtcdError("a linearizable read through it does not work")
    cluster_id, members = gateway.members(gateway.local)
    _same, seen = gateway.members(gateway.local, linearizable=False)
    if set(members) != set(seen):
        raise EtcdError("it sees another member list than the quorum")
    own = next((member for member in members if member.name == name), None)
    if own is None:
        raise EtcdError(f"{name} is not in the member list: {', '.join(member.title for member in members)}")
    if own.learner:
        raise EtcdError("it is a learner")
    if not own.started:
        raise EtcdError("it has not announced itself yet")
    return Cluster(cluster_id, members)


def record_of(cluster: Cluster, member: Member) -> dict[str, Any]:
    return {
        "state": planner.MEMBER,
        "name": member.name,
        "member_id": format(member.id, "x"),
        "cluster_id": format(cluster.id, "x"),
    }


def remove(gateway: Gateway, name: str, waiter: Waiter, check_mode: bool) -> bool:
    """Take a member out of the list, from any other host. False when it is not in it."""

    def attempt() -> bool:
        cluster = gateway.cluster()
        if cluster is None:
            raise EtcdError(gateway.no_quorum())
        member = cluster.by_name(name)
        if member is None:
            return False
        reason = planner.reason_against_removal(cluster, member)
        if reason:
            raise EtcdError(reason)
        if not check_mode:
            gateway.remove(member.id)
        return True

    removed = bool(waiter.until(f"removal of {name}", attempt))
    if removed and not check_mode:
        waiter.until(f"{name} leaving the member list", lambda: _check_absent(gateway, name))
    return removed


def _check_absent(gateway: Gateway, name: str) -> None:
    cluster = gateway.cluster()
    if cluster is None:
        raise EtcdError(gateway.no_quorum())
    if cluster.by_name(name) is not None:
        raise EtcdError("it is still in the member list")
