# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is deleted from restored data, on the registry of a real cluster: one control-plane node, one worker.

It had a Deployment, a StatefulSet, a Job, a bare pod, a Deployment with a volume on the worker's disk, and a
VolumeAttachment. All keys are there; values only of what the scrub reads.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import scrub
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.scrub import Workload

GOLDEN = Path(__file__).with_name("golden") / "registry.json.gz"
ALL = ["cp1", "worker1"]
Registry = dict[str, bytes]


@pytest.fixture(scope="module")
def registry() -> Registry:
    document = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    return {key: base64.b64decode(value) for key, value in document.items()}


def test_all_machines_are_gone(registry: Registry) -> None:
    found = scrub.plan(registry.items())
    assert found.gone == ALL
    assert scrub.summary(found) == {
        scrub.SERVER: 5,
        scrub.LEADER: 2,
        scrub.NODE: 2,
        scrub.NODE_LEASE: 2,
        scrub.CSI_NODE: 2,
        scrub.ATTACHMENT: 1,
        scrub.REQUEST: 5,
        scrub.POD: 17,
        scrub.DECLARATION: 1,
    }
    assert found.deletions[scrub.SERVER] == [
        "/registry/endpointslices/default/kubernetes",
        "/registry/leases/kube-system/apiserver-j6fw5vwdh4fr5uizaw6kujejnq",
        "/registry/masterleases/10.98.24.11",
        "/registry/peerserverleases/apiserver-j6fw5vwdh4fr5uizaw6kujejnq",
        "/registry/services/endpoints/default/kubernetes",
    ]


def test_what_cannot_come_back_is_said(registry: Registry) -> None:
    assert scrub.plan(registry.items()).lost == [
        "PersistentVolume local-worker1: its data was on the disk of worker1, which is gone",
        "Pod app/bare: it was on worker1, and nothing makes it again",
        "Deployment app/pinned: it waits for the PersistentVolume local-worker1",
    ]


def test_workloads_that_ran_are_awaited_but_not_those_that_cannot_run(registry: Registry) -> None:
    assert scrub.plan(registry.items()).workloads == [
        Workload("DaemonSet", "kube-flannel", "kube-flannel"),
        Workload("DaemonSet", "kube-flannel", "kube-router"),
        Workload("DaemonSet", "kube-system", "kube-proxy"),
        Workload("Deployment", "app", "web"),
        Workload("Deployment", "kube-system", "coredns"),
        Workload("StatefulSet", "app", "db"),
    ]


def test_nothing_of_the_cluster_itself_is_deleted(registry: Registry) -> None:
    kept = set(registry) - set(scrub.plan(registry.items()).keys)
    untouched = (
        "apiregistration.k8s.io",
        "clusterroles",
        "controllerrevisions",
        "daemonsets",
        "deployments",
        "events",
        "jobs",
        "namespaces",
        "persistentvolumeclaims",
        "persistentvolumes",
        "ranges",
        "replicasets",
        "serviceaccounts",
        "statefulsets",
    )
    for resource in untouched:
        assert [key for key in registry if key.startswith(f"/registry/{resource}/") and key not in kept] == []
    assert {"/registry/secrets/app/s1", "/registry/endpointslices/kube-system/kube-dns-4gmhq"} <= kept
    assert {key for key in kept if "/leases/" in key} == set()


def test_a_cluster_rolled_back_on_its_machines_keeps_its_nodes(registry: Registry) -> None:
    found = scrub.plan(registry.items(), ALL)
    assert scrub.summary(found) == {scrub.SERVER: 5, scrub.LEADER: 2, scrub.REQUEST: 1}
    assert (found.lost, found.gone) == ([], [])
    assert Workload("Deployment", "app", "pinned") in found.workloads


def test_one_machine_is_gone(registry: Registry) -> None:
    found = scrub.plan(registry.items(), ["worker1"])
    assert found.gone == ["cp1"]
    assert found.deletions[scrub.NODE] == ["/registry/minions/cp1"]
    assert not any(key.startswith("/registry/pods/app/") for key in found.keys)
    assert scrub.DECLARATION not in found.deletions


def test_done_twice_is_done_once(registry: Registry) -> None:
    gone = set(scrub.plan(registry.items()).keys)
    again = scrub.plan((key, value) for key, value in registry.items() if key not in gone)
    assert again.keys == []


@pytest.mark.parametrize(
    "key",
    [
        "/registry/secrets/kube-system/bootstrap-token-abcdef",
        "/registry/leases/kube-system/kube-scheduler",
        "/registry/masterleases/192.0.2.11",
    ],
)
def test_keys_of_old_processes_go_whoever_stays(key: str) -> None:
    assert scrub.plan([(key, b"")], ["cp1"]).keys == [key]


@pytest.mark.parametrize(
    "key",
    [
        "/registry/leases/app/leader",
        "/registry/secrets/app/bootstrap-token-abcdef",
        "/registry/configmaps/app/caravan-nodes",
        "/registry/endpointslices/app/kubernetes",
        "/registry/example.org/minions/cp1",
    ],
)
def test_what_only_looks_alike_stays(key: str) -> None:
    assert scrub.plan([(key, b"")]).keys == []


def test_a_value_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(BackupError, match="is not Protobuf"):
        scrub.plan([("/registry/pods/app/p", b"k8s:enc:secretbox:v1:key1:x")])
    with pytest.raises(BackupError, match="ends too early"):
        scrub.plan([("/registry/pods/app/p", b"k8s\x00\x12\x7fabc")])


def test_the_golden_registry_holds_no_secret(registry: Registry) -> None:
    blob = b"".join(registry.values())
    assert b"PRIVATE KEY" not in blob
    assert [key for key, value in registry.items() if key.startswith("/registry/secrets/") and value] == []
