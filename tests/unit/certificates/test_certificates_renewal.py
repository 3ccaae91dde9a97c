# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a run: what it asks for before it touches anything, and what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._certificates import config, renewal
from ansible_collections.caravan.cluster.plugins.module_utils._certificates.model import TIMER, Certificate
from test_certificates_model import DOCUMENT

NOW = datetime.now(timezone.utc)
DUE = "20% of its life is left"


class Cluster:
    """What the run sees. `trouble`: one entry for each look at the cluster, the last one for all that follow."""

    def __init__(self, due: dict[str, str], trouble: Sequence[list[str]] = ([],), holder: str = "") -> None:
        self.due = due
        self.trouble = [list(entry) for entry in trouble]
        self.holder = holder
        self.lost = ""
        self.broken = ""
        self.done: list[str] = []


class Lock:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def take(self) -> str:
        self.cluster.done.append("lock")
        return self.cluster.holder

    def lost(self) -> str:
        return self.cluster.lost

    def release(self) -> None:
        self.cluster.done.append("release")


class Run(renewal.Run):
    quorum_patience = 0.0

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(config.parse({**DOCUMENT, "patience": 0, "timeout": 0}), lambda text: None)
        self.cluster = cluster

    def _look(self) -> list[Certificate]:
        begins, ends = NOW - timedelta(days=80), NOW + timedelta(days=20)
        names = ["etcd-server", "admin.conf", "scheduler.conf"]
        return [Certificate(name, f"/{name}", TIMER, begins, ends, self.cluster.due.get(name, "")) for name in names]

    def _leaves(self) -> dict[str, Any]:
        return {"etcd-server": None}

    def _gateway(self) -> Any:
        return None

    def _renew(self, name: str) -> None:
        self.cluster.done.append(name)
        if name == self.cluster.broken:
            raise renewal.CertificateError(f"{name}: it does not start")
        self.result.renewed[name] = self.cluster.due.pop(name)

    def _trouble(self) -> list[str]:
        trouble = self.cluster.trouble
        return trouble.pop(0) if len(trouble) > 1 else trouble[0]

    def _quorum_trouble(self) -> list[str]:
        return self._trouble()


def run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> renewal.Result:
    monkeypatch.setattr(renewal, "Lock", lambda gateway, node: Lock(cluster))
    return Run(cluster).do()


def test_where_nothing_is_due_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({}, [["down"]])
    result = run(cluster, monkeypatch)
    assert (cluster.done, result.renewed, result.postponed, result.error) == ([], {}, [], "")


def test_what_is_due_is_renewed_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"scheduler.conf": DUE, "etcd-server": DUE})
    result = run(cluster, monkeypatch)
    assert cluster.done == ["lock", "etcd-server", "scheduler.conf", "release"]
    assert (set(result.renewed), result.postponed, result.error) == ({"scheduler.conf", "etcd-server"}, [], "")


def test_a_cluster_that_is_not_well_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"scheduler.conf": DUE}, [["API server cp2: timed out"]])
    result = run(cluster, monkeypatch)
    assert (cluster.done, result.error) == ([], "")
    assert result.postponed == [
        "scheduler.conf: left for the next time, the cluster is not well: API server cp2: timed out"
    ]


def test_two_hosts_are_never_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"scheduler.conf": DUE}, holder="cp2")
    result = run(cluster, monkeypatch)
    assert cluster.done == ["lock"]
    assert result.postponed == ["scheduler.conf: left for the next time, cp2 is at it"]


def test_it_ends_where_the_cluster_is_not_well_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"scheduler.conf": DUE, "etcd-server": DUE}, [[], ["etcd member cp1: down"]])
    result = run(cluster, monkeypatch)
    assert cluster.done == ["lock", "etcd-server", "release"]
    assert result.error == "after etcd-server was renewed, the cluster is not well: etcd member cp1: down"


def test_it_ends_where_the_lock_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"scheduler.conf": DUE, "etcd-server": DUE})
    cluster.lost = "the lock in etcd has ended"
    result = run(cluster, monkeypatch)
    assert (cluster.done, result.error) == (["lock", "etcd-server", "release"], cluster.lost)


def test_what_has_expired_needs_no_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"admin.conf": "expired", "etcd-server": "expired"}, [[]], holder="cp2")
    result = run(cluster, monkeypatch)
    assert (cluster.done, result.error) == (["etcd-server", "admin.conf"], "")


def test_a_host_comes_back_as_far_as_it_can_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"admin.conf": "expired", "etcd-server": "expired"}, [["etcd: no member answers"]])
    result = run(cluster, monkeypatch)
    assert cluster.done == ["etcd-server"]
    assert result.error == "not renewed yet: admin.conf. etcd: no member answers"


def test_one_that_does_not_come_back_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"admin.conf": "expired", "scheduler.conf": "expired"})
    cluster.broken = "admin.conf"
    result = run(cluster, monkeypatch)
    assert (cluster.done, result.error) == (["admin.conf", "scheduler.conf"], "admin.conf: it does not start")
