# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster's objects have to say, and which workloads have to start anew."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._authority import published, workloads
from ansible_collections.caravan.cluster.plugins.module_utils._authority.node import trusting
from ansible_collections.caravan.cluster.plugins.module_utils._authority.workloads import ANNOTATION, Workload
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from ansible_collections.caravan.cluster.plugins.module_utils._identity.pem import certificates, fingerprint
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm import kubeconfig

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
PROJECTED = {"projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}


def authority(name: str) -> str:
    return crypto.authority_certificate(crypto.generate_key("ecdsa-p256"), name, 10, NOW)


OLD, NEW, FRONT = authority("kubernetes"), authority("kubernetes"), authority("front-proxy-ca")


def root_ca(text: str, namespace: str = "default") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace}, "data": {"ca.crt": text}}


def extension(client: str, front_proxy: str = FRONT) -> dict[str, str]:
    return {"client-ca-file": client, "requestheader-client-ca-file": front_proxy}


def test_a_bundle_is_read_in_its_order() -> None:
    assert [fingerprint(one) for one in certificates("a comment\n" + OLD + "\n" + NEW)] == [
        fingerprint(OLD),
        fingerprint(NEW),
    ]


def test_the_order_of_certificates_makes_no_difference() -> None:
    assert published.differs([root_ca(NEW + OLD)], extension(OLD + NEW), OLD + NEW, FRONT) == []


@pytest.mark.parametrize("seen", ["", OLD, NEW, OLD + NEW + FRONT])
def test_what_is_missing_or_too_much_is_named(seen: str) -> None:
    assert published.differs([root_ca(seen, "apps")], extension(seen), OLD + NEW, FRONT) == [
        "apps/kube-root-ca.crt",
        "kube-system/extension-apiserver-authentication (client-ca-file)",
    ]


def test_only_what_is_too_much_is_taken_out() -> None:
    assert published.to_drop(extension(OLD + NEW), NEW, FRONT) == {"client-ca-file": NEW}
    # API servers have still to add theirs.
    assert published.to_drop(extension(OLD), OLD + NEW, FRONT) == {}
    assert published.to_drop(extension(NEW), NEW, FRONT) == {}


def test_a_kubeconfig_is_given_others_to_trust_and_keeps_the_rest() -> None:
    encoded = base64.b64encode(OLD.encode()).decode()
    text = (
        "clusters:\n- cluster:\n"
        f"    certificate-authority-data: {encoded}\n    server: https://api:6443\n  name: kubernetes\n"
    )
    changed = trusting(text, OLD + NEW)
    assert kubeconfig.parse(changed) == {"certificate-authority-data": OLD + NEW, "server": "https://api:6443"}
    assert trusting(changed, OLD) == text


def pod(
    name: str, owner: tuple[str, str] | None, digest: str = "", phase: str = "Running", **spec: Any
) -> dict[str, Any]:
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    return {
        "metadata": {
            "name": name,
            "namespace": "apps",
            "ownerReferences": owners,
            "annotations": {ANNOTATION: digest} if digest else None,
        },
        "spec": {"volumes": [PROJECTED], **spec},
        "status": {"phase": phase},
    }


def test_workloads_are_found_through_their_pods() -> None:
    replicaset = {
        "metadata": {
            "name": "web-1",
            "namespace": "apps",
            "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": True}],
        }
    }
    pods = [
        pod("web-1-a", ("ReplicaSet", "web-1")),
        pod("web-1-b", ("ReplicaSet", "web-1")),
        pod("db-0", ("StatefulSet", "db")),
        pod("agent-x", ("DaemonSet", "agent"), digest="now"),
        pod("job-y", ("Job", "job")),
        pod("done", ("Job", "job"), phase="Succeeded"),
        pod("bare", None),
        pod("static", ("Node", "cp1"), volumes=[]),
    ]
    assert workloads.to_restart(pods, [replicaset], "now") == (
        [Workload("Deployment", "apps", "web"), Workload("StatefulSet", "apps", "db")],
        ["apps/bare", "apps/job-y"],
    )


def replicas(updated: int, available: int, all_of_them: int) -> dict[str, int]:
    return {"updatedReplicas": updated, "availableReplicas": available, "replicas": all_of_them}


def daemons(updated: int, available: int) -> dict[str, int]:
    return {"desiredNumberScheduled": 3, "updatedNumberScheduled": updated, "numberAvailable": available}


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        ("Deployment", {"observedGeneration": 1}, "its controller has not seen the change yet"),
        ("Deployment", replicas(1, 2, 3), "1 of 2 pods are new, 2 are available"),
        ("Deployment", replicas(2, 2, 3), "2 of 2 pods are new, 2 are available"),
        ("Deployment", replicas(2, 2, 2), ""),
        ("DaemonSet", daemons(3, 2), "3 of 3 pods are new, 2 are available"),
        ("DaemonSet", daemons(3, 3), ""),
    ],
)
def test_a_roll_out_is_through_when_all_pods_are_new_and_serve(kind: str, status: dict[str, int], told: str) -> None:
    item = {
        "kind": kind,
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, **status},
    }
    assert workloads.awaited(item) == told
