#!/usr/bin/python3
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approve the serving certificates of this cluster's kubelets, and nothing else.

A kubelet may ask for a certificate for any name. Kubernetes itself checks only that a node asks for itself, not which
addresses it claims: a taken-over node could ask for another machine's address. So a request is approved only when its
names and addresses are those that the inventory declares for the node, in the ConfigMap kube-system/caravan-nodes,
which no kubelet can write. Everything else is left as it is, with the reason in the journal.

One runs on each control-plane node. They need no leader: approving twice is harmless.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import ipaddress
import json
import os
import re
import ssl
import sys
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

SIGNER = "kubernetes.io/kubelet-serving"
USER_PREFIX = "system:node:"
GROUP = "system:nodes"
USAGES_REQUIRED = {"digital signature", "server auth"}
USAGES_ALLOWED = USAGES_REQUIRED | {"key encipherment"}
CSR_PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
DECLARED_PATH = "/api/v1/namespaces/kube-system/configmaps/caravan-nodes"

APPROVE = "approve"
LEAVE = "leave"


class Decision(NamedTuple):
    """What to do with a request, and why."""

    verdict: str
    reason: str


def pending(csr: Mapping[str, Any]) -> bool:
    """Say whether nobody has decided about a request yet. Pure."""
    status = csr.get("status") or {}
    return not status.get("conditions") and not status.get("certificate")


def decide(csr: Mapping[str, Any], declared: Mapping[str, str]) -> Decision:
    """Decide about one CertificateSigningRequest. Pure.

    `declared` is the data of the ConfigMap: for each node's name a JSON object with a list `addresses`.
    """
    spec = csr["spec"]
    if spec.get("signerName") != SIGNER:
        return Decision(LEAVE, f"the signer is {spec.get('signerName')}")
    user = spec.get("username", "")
    if not user.startswith(USER_PREFIX) or len(user) == len(USER_PREFIX):
        return Decision(LEAVE, f"it was made by {user}, which is not a node")
    if GROUP not in (spec.get("groups") or []):
        return Decision(LEAVE, f"{user} is not in the group {GROUP}")
    usages = set(spec.get("usages") or [])
    if not usages >= USAGES_REQUIRED or not usages <= USAGES_ALLOWED:
        return Decision(LEAVE, f"the key usages are {', '.join(sorted(usages))}")
    node = user[len(USER_PREFIX) :]

    try:
        request = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
    except (KeyError, ValueError) as error:
        return Decision(LEAVE, f"the request cannot be read: {error}")
    if not request.is_signature_valid:
        return Decision(LEAVE, "the request is not signed by its own key")
    common_names = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if common_names != [user]:
        return Decision(LEAVE, f"{user} asks for the common name {', '.join(common_names) or '(none)'}")
    organizations = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if organizations != [GROUP]:
        return Decision(LEAVE, f"the organization is {', '.join(organizations) or '(none)'}")
    if len(list(request.subject)) != 2:
        return Decision(LEAVE, "the subject has more than a common name and an organization")

    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Decision(LEAVE, "no name or address is asked for")
    except ValueError as error:
        return Decision(LEAVE, f"the names cannot be read: {error}")
    dns = [str(n.value) for n in names if isinstance(n, x509.DNSName)]
    addresses = [n.value for n in names if isinstance(n, x509.IPAddress)]
    if len(dns) + len(addresses) != len(list(names)):
        return Decision(LEAVE, "names that are neither DNS names nor addresses are asked for")
    if not addresses:
        return Decision(LEAVE, "no address is asked for")
    if node not in declared:
        return Decision(LEAVE, f"the node {node} is not declared (yet)")
    try:
        allowed, aliases = split(json.loads(declared[node])["addresses"])
    except (ValueError, KeyError, TypeError) as error:
        return Decision(LEAVE, f"the declaration of {node} cannot be read: {error}")
    # With a cloud controller a kubelet asks for the names that the provider gave its machine, and not for its own.
    if not set(dns) <= {node, *aliases} or (not aliases and dns != [node]):
        return Decision(LEAVE, f"the node {node} asks for the DNS names {', '.join(dns) or '(none)'}")
    foreign = [str(a) for a in addresses if a not in allowed]
    if foreign:
        return Decision(LEAVE, f"the node {node} asks for addresses that are not its own: {', '.join(foreign)}")
    return Decision(APPROVE, f"the names and addresses are those declared for the node {node}")


def split(declared: Iterable[str]) -> tuple[set[Any], set[str]]:
    """The IP addresses and the DNS names among what is declared of a node."""
    addresses, names = set(), set()
    for one in declared:
        try:
            addresses.add(ipaddress.ip_address(one))
        except ValueError:
            names.add(str(one))
    return addresses, names


def approval(csr: Mapping[str, Any], reason: str, now: str) -> dict[str, Any]:
    """Return the request with the approval added. Pure."""
    condition = {
        "type": "Approved",
        "status": "True",
        "reason": "CaravanDeclaredNode",
        "message": reason,
        "lastUpdateTime": now,
    }
    return {**csr, "status": {**(csr.get("status") or {}), "conditions": [condition]}}


class Api:
    """The two lists and the one update, over one kept connection."""

    def __init__(self, kubeconfig: str) -> None:
        with open(kubeconfig, encoding="utf-8") as stream:  # noqa: PTH123
            text = stream.read()
        data = {
            name: base64.b64decode(value).decode()
            for name, value in re.findall(r"^\s*([a-z-]+)-data:\s*(\S+)\s*$", text, re.MULTILINE)
        }
        server = re.search(r"^\s*server:\s*\"?([^\s\"]+)", text, re.MULTILINE)
        if server is None:
            raise ValueError(f"{kubeconfig} names no server")
        url = urllib.parse.urlsplit(server.group(1))
        self.host, self.port = url.hostname or "", url.port or 443
        self.context = ssl.create_default_context(cadata=data["certificate-authority"])
        # The library takes a file only: one in memory, without a name.
        descriptor = os.memfd_create("client")
        with os.fdopen(descriptor, "w") as stream:
            stream.write(data["client-certificate"] + "\n" + data["client-key"])
            stream.flush()
            self.context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        self.connection: http.client.HTTPSConnection | None = None

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the decoded answer."""
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=10)
        try:
            payload = None if body is None else json.dumps(body).encode()
            self.connection.request(method, path, body=payload, headers={"Content-Type": "application/json"})
            response = self.connection.getresponse()
            text = response.read()
            return response.status, json.loads(text)
        except (OSError, ValueError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise


class Approver:
    """One round after another; remembers what it has said, to say it once."""

    def __init__(self, api: Any, log: Any = print) -> None:
        self.api = api
        self.log = log
        self.said: dict[str, str] = {}

    def round(self) -> int:
        """Look once; return how many requests are still left."""
        # From the API server's memory, not from etcd.
        query = urllib.parse.urlencode({"fieldSelector": "spec.signerName=" + SIGNER, "resourceVersion": "0"})
        status, listed = self.api.request("GET", CSR_PATH + "?" + query)
        if status != 200:
            raise RuntimeError(f"listing requests: {status} {listed.get('message')}")
        waiting = [item for item in listed["items"] if pending(item)]
        self.said = {
            name: reason for name, reason in self.said.items() if name in {w["metadata"]["name"] for w in waiting}
        }
        if not waiting:
            return 0
        status, config_map = self.api.request("GET", DECLARED_PATH)
        if status not in (200, 404):
            raise RuntimeError(f"reading the declared nodes: {status} {config_map.get('message')}")
        declared = (config_map.get("data") or {}) if status == 200 else {}
        return sum(0 if self.handle(csr, declared) else 1 for csr in waiting)

    def handle(self, csr: Mapping[str, Any], declared: Mapping[str, str]) -> bool:
        """Decide about one request and carry it out; return whether it was approved."""
        name = csr["metadata"]["name"]
        decision = decide(csr, declared)
        if decision.verdict == APPROVE:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            status, answer = self.api.request(
                "PUT", CSR_PATH + "/" + urllib.parse.quote(name) + "/approval", approval(csr, decision.reason, now)
            )
            if status == 200:
                self.log(f"approved {name}: {decision.reason}")
                return True
            if status in (404, 409):  # Another approver was quicker.
                return True
            decision = Decision(LEAVE, f"approving it failed: {status} {answer.get('message')}")
        if self.said.get(name) != decision.reason:
            self.said[name] = decision.reason
            self.log(f"denied {name}: {decision.reason}")
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--interval", type=float, default=1.5, help="seconds between two looks")
    arguments = parser.parse_args()
    approver = Approver(Api(arguments.kubeconfig), lambda line: print(line, flush=True))
    failing = ""
    while True:
        try:
            approver.round()
            if failing:
                print("the API answers again", flush=True)
            failing = ""
        except (OSError, ValueError, RuntimeError, http.client.HTTPException) as error:
            if str(error) != failing:
                failing = str(error)
                print(f"the API does not answer: {failing}", file=sys.stderr, flush=True)
        time.sleep(arguments.interval)


if __name__ == "__main__":
    main()
