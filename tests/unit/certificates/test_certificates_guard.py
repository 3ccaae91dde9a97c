# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the cluster is well enough, as one host sees it."""

from __future__ import annotations

from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._certificates import guard
from ansible_collections.caravan.cluster.plugins.module_utils._etcd.client import Gateway
from ansible_collections.caravan.cluster.plugins.module_utils._etcd.model import Cluster, EtcdError, Member


class Etcd(Gateway):
    """A cluster of which one member is asked."""

    def __init__(self, cluster: Cluster | None, alarms: list[dict[str, Any]]) -> None:
        self.found = cluster
        self.alarms = alarms
        self.errors = {"https://cp2:2379": "https://cp2:2379 does not answer: timed out"}

    def cluster(self) -> Cluster | None:
        return self.found

    def any_healthy(self, act: Any) -> dict[str, Any]:
        if self.found is None:
            raise EtcdError("none")
        return {"alarms": self.alarms}


def member(name: str, healthy: bool = True, learner: bool = False) -> Member:
    return Member(1, name, (f"https://{name}:2380",), (f"https://{name}:2379",), learner, healthy)


def test_all_members_have_to_be_well() -> None:
    assert guard.etcd_trouble(Etcd(Cluster(1, (member("cp1"), member("cp2"))), [])) == []
    assert guard.etcd_trouble(Etcd(Cluster(1, (member("cp1"), member("cp2", healthy=False))), [])) == [
        "etcd member cp2: https://cp2:2379 does not answer: timed out"
    ]
    assert guard.etcd_trouble(Etcd(Cluster(1, (member("cp1", learner=True),)), [])) == [
        "etcd member cp1: it is a learner"
    ]
    assert guard.etcd_trouble(Etcd(Cluster(1, (member("cp1"),)), [{"alarm": "NOSPACE"}])) == [
        "etcd: the alarm NOSPACE is raised"
    ]
    (words,) = guard.etcd_trouble(Etcd(None, []))
    assert words.startswith("etcd: no member with quorum answers")


def test_an_api_server_that_does_not_answer_is_named() -> None:
    # Nothing listens on this port of the loopback.
    (words,) = guard.api_trouble({"cp2": "127.0.0.1"}, 1)
    assert words.startswith("API server cp2: ")
    assert guard.api_trouble({}, 1) == []


def test_an_election_is_waited_for() -> None:
    seen = iter([["no leader"], ["no leader"], []])
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds

    assert guard.settled(lambda: next(seen), 10, lambda: time[0], sleep) == []
    assert guard.settled(lambda: ["no leader"], 10, lambda: time[0], sleep) == ["no leader"]
    assert time[0] >= 10
