# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All certificate authorities are replaced, cut off on the way, and whoever uses the API notices nothing.

By whom something was signed is told by OpenSSL's own check of a connection, not by Caravan.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster_tests import prober
from cluster_tests.api import Api, Identity
from cluster_tests.cluster import Cluster
from cluster_tests.playbooks import at_task
from cluster_tests.prober import Prober, config_map_writer
from cluster_tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.journal("etcd", "kubelet", "caravan-csr-approver")]

# Seconds without an acknowledged write.
OUTAGE = 5.0
NAMESPACE = "caravan-authorities"
BUNDLES = {
    "kubernetes": "/etc/kubernetes/pki/ca.crt",
    "front_proxy": "/etc/kubernetes/pki/front-proxy-ca.crt",
    "etcd": "/etc/kubernetes/pki/etcd-ca.crt",
}
# What a run says when it begins a step: one before the new key is anywhere, one after.
STEPS = ("Have the components trust what lies on the disk", "Ask for certificates, one node after another")


def trusted(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Return the bundle of every authority on every control-plane host."""
    hosts = cluster.inventory.hosts("control_plane")
    return {
        name: {host: cluster.nodes.host(host).file(path).content_string for host in hosts}
        for name, path in BUNDLES.items()
    }


def shows(cluster: Cluster, host: str, port: int, authority: str) -> None:
    """Raise unless a port's certificate was signed by that authority."""
    context = ssl.create_default_context(cadata=authority)
    context.check_hostname = False
    connection = http.client.HTTPSConnection(cluster.address(host), port, timeout=5, context=context)
    try:
        connection.connect()
    finally:
        connection.close()


def writer(cluster: Cluster) -> Callable[[str], None]:
    """Return a write with the kubeconfig as it is at that moment: the rotation brings it up to date."""

    def write(name: str) -> None:
        config_map_writer(cluster.api(), timeout=5)(name)

    return write


def refused(cluster: Cluster, identity: Identity) -> bool:
    """Say whether somebody with these credentials, who trusts the new authority, is turned away."""
    now = cluster.kubeconfig()
    old = Identity(now.target, now.ca, identity.certificate, identity.key)
    try:
        return old.api().request("GET", "/api/v1/nodes").status == 401
    except ssl.SSLError:
        return True


def pods(api: Api) -> dict[str, dict[str, Any]]:
    """Return the pods of kube-system that use the API, by name."""
    items = api.get("/api/v1/namespaces/kube-system/pods")["items"]
    return {item["metadata"]["name"]: item for item in items if "kube-root-ca.crt" in json.dumps(item["spec"])}


@pytest.fixture(scope="module")
def rotated(cluster: Cluster) -> Iterator[tuple[dict[str, dict[str, str]], Identity, prober.Record]]:
    """A rotation of everything, cut off twice: what was trusted before, the former kubeconfig, and the writes."""
    before, identity = trusted(cluster), cluster.kubeconfig()
    prober.prepare(cluster.api())
    with Prober(writer(cluster), prefix="rotation", rate=4) as watch:
        for step in STEPS:
            run = cluster.playbooks.run("rotate_authorities", watch=at_task(step), grace=2)
            assert run.code != 0, f"the run ended before it was cut off in '{step}':\n{run.tail()}"
        run = cluster.playbooks.run("rotate_authorities", timeout=1200).succeeded()
        assert "An earlier rotation was not finished" in run.output
        time.sleep(2)
    print(f"after {len(STEPS)} interruptions, the last run took {run.seconds:.0f} s")
    yield before, identity, watch.record
    prober.clean(cluster.api())


def test_the_api_was_up_throughout_and_no_write_is_lost(cluster: Cluster, rotated: tuple[Any, Any, Any]) -> None:
    record = rotated[2]
    outage = record.outage(record.probes[0].started, record.probes[-1].ended)
    print(f"{len(record.probes)} writes, longest time without one {outage:.1f} s, errors {dict(record.errors())}")
    assert outage <= OUTAGE
    assert record.lost(prober.written(cluster.api())) == []


def test_every_authority_is_another_one_and_the_same_everywhere(
    cluster: Cluster, rotated: tuple[Any, Any, Any]
) -> None:
    before, after = rotated[0], trusted(cluster)
    for name, held in after.items():
        assert len(set(held.values())) == 1, name
        assert next(iter(held.values())).count("-----BEGIN") == 1, name
        assert not set(held.values()) & set(before[name].values()), name


def test_every_port_shows_what_the_new_authorities_have_signed(cluster: Cluster, rotated: tuple[Any, Any, Any]) -> None:
    authority = {name: next(iter(held.values())) for name, held in trusted(cluster).items()}
    for host in cluster.inventory.hosts("control_plane"):
        shows(cluster, host, 6443, authority["kubernetes"])
    for host in cluster.inventory.hosts("control_plane", "worker"):
        shows(cluster, host, 10250, authority["kubernetes"])
    for host in cluster.inventory.hosts("etcd"):
        shows(cluster, host, 2379, authority["etcd"])
        shows(cluster, host, 2380, authority["etcd"])
    with pytest.raises(ssl.SSLCertVerificationError):
        shows(cluster, cluster.any_host, 6443, next(iter(rotated[0]["kubernetes"].values())))


def test_the_former_kubeconfig_is_refused_and_the_present_one_works(
    cluster: Cluster, rotated: tuple[Any, Any, Any]
) -> None:
    assert refused(cluster, rotated[1])
    assert not refused(cluster, cluster.kubeconfig())


def test_workloads_still_use_the_api(cluster: Cluster, rotated: tuple[Any, Any, Any]) -> None:
    cluster.wait_healthy("after the rotation")
    api = cluster.api()
    # A new Deployment needs the controller manager, the scheduler, the kubelet and the network.
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10.1"}]},
    }
    api.create(
        path,
        {
            "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        },
    )

    def runs() -> tuple[bool, str]:
        status = api.get(f"{path}/web").get("status", {})
        return status.get("availableReplicas", 0) == 2, json.dumps(status)[:300]

    wait_until("a new workload", runs, timeout=120, interval=0.5)
    api.delete(f"/api/v1/namespaces/{NAMESPACE}")


def test_every_pod_that_uses_the_api_was_started_anew_and_runs(cluster: Cluster, rotated: tuple[Any, Any, Any]) -> None:
    found = pods(cluster.api())
    assert found
    for name, item in found.items():
        assert item["metadata"].get("annotations", {}).get("caravan.cluster/trusts"), name
        assert all(status["ready"] for status in item["status"]["containerStatuses"]), name


def test_site_changes_nothing_afterwards(cluster: Cluster, rotated: tuple[Any, Any, Any]) -> None:
    assert cluster.playbooks.run("site").succeeded().changed() == {}


def test_check_mode_says_the_steps_and_changes_nothing(cluster: Cluster, rotated: tuple[Any, Any, Any]) -> None:
    before = trusted(cluster)
    arguments = ("--check", "-e", '{"rotate_authorities": ["etcd"]}')
    run = cluster.playbooks.run("rotate_authorities", arguments=arguments).succeeded()
    for said in ("have the old and the new", "sign with the new", "have everything signed", "take the old"):
        assert f"etcd: {said}" in run.output
    assert "front_proxy: " not in run.output
    assert trusted(cluster) == before


def test_a_host_that_is_away_stops_the_run_before_anything_is_written(
    cluster: Cluster, rotated: tuple[Any, Any, Any]
) -> None:
    before = trusted(cluster)
    *others, away = cluster.inventory.hosts("etcd", "control_plane", "worker")
    run = cluster.playbooks.run("rotate_authorities", arguments=("--limit", ",".join(others)))
    assert run.code != 0
    assert f"{away}: it was not reached, and all hosts are needed" in run.output
    assert trusted(cluster) == before
