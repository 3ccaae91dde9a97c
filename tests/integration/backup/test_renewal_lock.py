# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the renewal of certificates asks of etcd, asked of real members: the lock that all hosts see, their health."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from agent_scene import NAMES, Cluster
from ansible_collections.caravan.cluster.plugins.module_utils._certificates import guard
from ansible_collections.caravan.cluster.plugins.module_utils._certificates.lock import KEY, Lock
from ansible_collections.caravan.cluster.plugins.module_utils._etcd.client import Gateway, tls_context


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("etcd"))
    try:
        found.start(*NAMES)
        yield found
    finally:
        found.stop()


def gateway(cluster: Cluster, name: str) -> Gateway:
    pki = cluster.pki
    urls = {other: cluster.etcd(other).url for other in NAMES if other != name}
    return Gateway(tls_context(str(pki.ca), str(pki.certificate), str(pki.key)), cluster.etcd(name).url, urls)


def lock(cluster: Cluster, name: str, ttl: int = 3) -> Lock:
    return Lock(gateway(cluster, name), name, ttl)


def test_one_host_has_it_until_it_gives_it_back(cluster: Cluster) -> None:
    one, two = lock(cluster, "cp1"), lock(cluster, "cp2")
    assert one.take() == ""
    assert two.take() == "cp1"
    # For longer than the lease would last.
    time.sleep(2 * one.ttl)
    assert one.lost() == ""
    assert lock(cluster, "cp3").take() == "cp1"
    one.release()
    again = lock(cluster, "cp2")
    assert again.take() == ""
    again.release()


def test_it_is_free_soon_after_its_holder_is_gone(cluster: Cluster) -> None:
    gone = lock(cluster, "cp1")
    assert gone.take() == ""
    # As a process that was killed: it keeps nothing, and gives nothing back.
    gone._ended.set()
    began = time.monotonic()
    while (other := lock(cluster, "cp2")).take():
        assert time.monotonic() - began < 15
        time.sleep(0.2)
    other.release()


def test_a_holder_learns_that_it_has_lost_it(cluster: Cluster) -> None:
    one = lock(cluster, "cp1")
    assert one.take() == ""
    cluster.call("cp2", "lease", "revoke", f"{int(one.lease):x}")
    end = time.monotonic() + 10
    while not one.lost():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert one.lost() == "the lock in etcd has ended"
    one.release()
    cluster.call("cp2", "del", KEY)


def test_every_member_has_to_be_well(cluster: Cluster) -> None:
    assert guard.settled(lambda: guard.etcd_trouble(gateway(cluster, "cp1")), 30) == []
    cluster.kill("cp3")
    # What is left is a quorum, and that is not enough.
    (words,) = guard.settled(lambda: guard.etcd_trouble(gateway(cluster, "cp1")), 3)
    assert words.startswith("etcd member cp3: https://")
    cluster.start("cp3")
    assert guard.settled(lambda: guard.etcd_trouble(gateway(cluster, "cp1")), 30) == []
