# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The approver of kubelet serving certificates decides over real signing requests."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from certificates import signing_request
from cryptography import x509

FILE = Path(__file__).resolve().parents[3] / "roles" / "control_plane" / "files" / "csr_approver.py"
spec = importlib.util.spec_from_file_location("csr_approver", FILE)
assert spec is not None and spec.loader is not None
approver = importlib.util.module_from_spec(spec)
sys.modules["csr_approver"] = approver
spec.loader.exec_module(approver)

DECLARED = {"worker1": json.dumps({"addresses": ["10.0.0.21", "2001:db8::21"]})}


def request(
    node: str = "worker1",
    dns: list[str] | None = None,
    addresses: list[str] | None = None,
    common_name: str | None = "system:node:worker1",
    organizations: list[str] | None = None,
    others: list[x509.GeneralName] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    pem = signing_request(
        common_name,
        ["system:nodes"] if organizations is None else organizations,
        ["worker1"] if dns is None else dns,
        ["10.0.0.21"] if addresses is None else addresses,
        others,
    )
    return {
        "metadata": {"name": "csr-abc"},
        "spec": {
            "signerName": "kubernetes.io/kubelet-serving",
            "username": "system:node:" + node,
            "groups": ["system:nodes", "system:authenticated"],
            "usages": ["digital signature", "server auth"],
            "request": base64.b64encode(pem.encode()).decode(),
            **changes,
        },
        "status": {},
    }


@pytest.mark.parametrize(
    "csr",
    [
        request(),
        request(addresses=["2001:db8::21"]),
        request(addresses=["10.0.0.21", "2001:db8:0:0::21"]),
        request(usages=["key encipherment", "digital signature", "server auth"]),
    ],
    ids=["v4", "v6", "both", "rsa"],
)
def test_a_declared_node_is_approved(csr: dict[str, Any]) -> None:
    decision = approver.decide(csr, DECLARED)
    assert decision.verdict == approver.APPROVE, decision.reason


@pytest.mark.parametrize(
    ("csr", "reason"),
    [
        (request(signerName="kubernetes.io/kube-apiserver-client"), "the signer is"),
        (request(username="system:serviceaccount:default:x"), "not a node"),
        (request(username="system:node:"), "not a node"),
        (request(groups=["system:authenticated"]), "not in the group"),
        (request(usages=["digital signature", "client auth"]), "key usages"),
        (request(usages=["digital signature", "server auth", "client auth"]), "key usages"),
        (request(usages=["server auth"]), "key usages"),
        (request(request="bm90IGEgcmVxdWVzdA=="), "cannot be read"),
        (request(node="worker2"), "asks for the common name"),
        (request(common_name=None), "asks for the common name"),
        (request(organizations=["system:masters"]), "organization"),
        (request(organizations=["system:nodes", "system:masters"]), "organization"),
        (request(organizations=[]), "organization"),
        (request(dns=[], addresses=[]), "no name or address"),
        (request(dns=[]), "DNS names"),
        (request(dns=["worker1", "api.demo.example"]), "DNS names"),
        (request(dns=["kubernetes.default.svc"]), "DNS names"),
        (request(addresses=[]), "no address"),
        (request(addresses=["10.0.0.22"]), "not its own: 10.0.0.22"),
        (request(addresses=["10.0.0.21", "10.0.0.100"]), "not its own: 10.0.0.100"),
        (request(others=[x509.UniformResourceIdentifier("https://x")]), "neither DNS names nor"),
        (request(others=[x509.RFC822Name("a@b.example")]), "neither DNS names nor"),
    ],
)
def test_everything_else_is_left_with_a_reason(csr: dict[str, Any], reason: str) -> None:
    decision = approver.decide(csr, DECLARED)
    assert decision.verdict == approver.LEAVE
    assert reason in decision.reason


def test_a_node_that_is_not_declared_waits() -> None:
    decision = approver.decide(request(), {})
    assert decision.verdict == approver.LEAVE
    assert "not declared" in decision.reason
    assert "cannot be read" in approver.decide(request(), {"worker1": "[]"}).reason


def test_what_is_decided_is_not_pending() -> None:
    assert approver.pending(request())
    assert not approver.pending({**request(), "status": {"conditions": [{"type": "Denied"}]}})
    assert not approver.pending({**request(), "status": {"certificate": "x"}})


class Server:
    """A double of the API: the requests, the ConfigMap, and what was asked."""

    def __init__(self, csrs: list[dict[str, Any]], data: dict[str, str], put: int = 200) -> None:
        self.csrs, self.data, self.put, self.approved = csrs, data, put, []  # type: ignore[var-annotated]

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        if method == "PUT":
            self.approved.append(body)
            return self.put, {"message": "conflict"}
        if path.startswith(approver.CSR_PATH):
            return 200, {"items": self.csrs}
        return 200, {"data": self.data}


def test_a_round_approves_and_says_each_reason_once() -> None:
    bad = {**request(addresses=["10.0.0.9"]), "metadata": {"name": "csr-bad"}}
    server, said = Server([request(), bad], DECLARED), []  # type: ignore[var-annotated]
    daemon = approver.Approver(server, said.append)
    assert daemon.round() == 1
    assert daemon.round() == 1
    condition = server.approved[0]["status"]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("Approved", "True")
    assert len([line for line in said if line.startswith("denied csr-bad")]) == 1


def test_two_approvers_do_not_disturb_each_other() -> None:
    assert approver.Approver(Server([request()], DECLARED, put=409), lambda _line: None).round() == 0
    assert approver.Approver(Server([request()], DECLARED, put=403), lambda _line: None).round() == 1


PROVIDED = {"worker1": json.dumps({"addresses": ["10.0.0.21", "198.51.100.21", "ip-10-0-0-21.internal"]})}


@pytest.mark.parametrize(
    ("csr", "verdict"),
    [
        (request(), approver.APPROVE),
        (request(dns=["ip-10-0-0-21.internal"], addresses=["10.0.0.21", "198.51.100.21"]), approver.APPROVE),
        (request(dns=["ip-10-0-0-22.internal"]), approver.LEAVE),
        (request(dns=["ip-10-0-0-21.internal", "api.demo.example"]), approver.LEAVE),
        (request(dns=["ip-10-0-0-21.internal"], addresses=["198.51.100.22"]), approver.LEAVE),
    ],
    ids=["before", "after", "other name", "more names", "other address"],
)
def test_names_that_a_cloud_controller_gives_are_declared(csr: dict[str, Any], verdict: str) -> None:
    decision = approver.decide(csr, PROVIDED)
    assert decision.verdict == verdict, decision.reason
