# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates that kubeadm and the kubelet made on a host: which have to be renewed, and how that is seen to work.

API servers take renewed certificates by themselves. The controller manager and the scheduler have theirs in
kubeconfigs, which they read once: they are started anew. Kubelets renew their own in time; one whose certificate ended
while the machine was off does not even start. On a control-plane host, where the static pods wait for it, it is given a
certificate; elsewhere it is given a token, as when it joined, and asks for one.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import config, kubeconfig, observe, systemd, users
from .steps import KUBEADM, Steps, write_file

# The share of a certificate's life below which it is renewed; the same as for etcd's.
RENEW_BELOW = 0.3
KUBELET_CLIENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
KUBELET_SERVER = "/var/lib/kubelet/pki/kubelet-server-current.pem"
BOOTSTRAP = "/etc/kubernetes/bootstrap-kubelet.conf"
# Long enough to get on with, short enough to be soon replaced by one the kubelet asks for itself.
KUBELET_HOURS = 168
API_SERVER = "apiserver"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
EXPIRED = "expired"


@dataclass(frozen=True)
class Kind:
    """`name` as kubeadm calls it; `restarts` the component that reads it only when it starts."""

    name: str
    path: str
    restarts: str = ""


# The administrator's first: with it the others are seen to work. Then in the order in which components depend on them.
KUBEADM_MAKES = (
    Kind("admin.conf", "/etc/kubernetes/admin.conf"),
    Kind(API_SERVER, "/etc/kubernetes/pki/apiserver.crt"),
    Kind("apiserver-kubelet-client", "/etc/kubernetes/pki/apiserver-kubelet-client.crt"),
    Kind("front-proxy-client", "/etc/kubernetes/pki/front-proxy-client.crt"),
    Kind("controller-manager.conf", "/etc/kubernetes/controller-manager.conf", "kube-controller-manager"),
    Kind("scheduler.conf", "/etc/kubernetes/scheduler.conf", "kube-scheduler"),
)


def reason_to_renew(begin: datetime.datetime, end: datetime.datetime, now: datetime.datetime) -> str:
    """Return why a certificate has to be renewed, empty when it need not. Pure."""
    left = (end - now) / (end - begin)
    if left <= 0:
        return EXPIRED
    return f"{left:.0%} of its life is left" if left < RENEW_BELOW else ""


def pem_of(text: str) -> str:
    """Return the certificate in a PEM file or a kubeconfig. ValueError when there is none. Pure."""
    if "client-certificate-data" in text:
        return kubeconfig.parse(text)["client-certificate-data"]
    begin = text.index("-----BEGIN CERTIFICATE-----")
    return text[begin:]


def described(path: str, now: datetime.datetime) -> dict[str, Any]:
    """Return {begins, ends, reason} of the certificate in a file."""
    try:
        begin, end = users.validity(pem_of(Path(path).read_text()))
    except (OSError, ValueError, IndexError, KeyError) as error:
        return {"begins": "", "ends": "", "reason": f"it cannot be read: {error}"}
    return {
        "begins": begin.strftime(TIME_FORMAT),
        "ends": end.strftime(TIME_FORMAT),
        "reason": reason_to_renew(begin, end, now),
    }


def on_host(control_plane: bool, everything: bool) -> dict[str, dict[str, Any]]:
    """Return the certificates on this host by name: {begins, ends, reason, renewed_by}."""
    now = datetime.datetime.now(datetime.timezone.utc)
    found: dict[str, dict[str, Any]] = {}
    for kind in KUBEADM_MAKES if control_plane else ():
        found[kind.name] = {**described(kind.path, now), "renewed_by": "kubeadm"}
        if everything and not found[kind.name]["reason"]:
            found[kind.name]["reason"] = "asked for"
    for name, path in (("kubelet-client", KUBELET_CLIENT), ("kubelet-server", KUBELET_SERVER)):
        if Path(path).exists():
            found[name] = {**described(path, now), "renewed_by": "kubelet"}
            # It renews in time by itself; only when it is too late, it cannot.
            if found[name]["reason"] != EXPIRED:
                found[name]["reason"] = ""
    return found


def to_renew(certificates: Mapping[str, Mapping[str, Any]]) -> list[Kind]:
    """Return what kubeadm has to renew, in order. Pure."""
    return [kind for kind in KUBEADM_MAKES if certificates.get(kind.name, {}).get("reason")]


class Renewal(Steps):
    """Renews certificates on this host, and sees each component well before it goes to the next."""

    def renew(self, kinds: list[Kind]) -> None:
        """Renew certificates, and have the components that use them take them."""
        for kind in kinds:
            self.renew_one(kind)

    def renew_one(self, kind: Kind) -> None:
        """Renew a certificate, and see the component that uses it well."""
        self.command([KUBEADM, "certs", "renew", kind.name, "--config", self.params["config"]], f"renewing {kind.name}")
        if kind.name == API_SERVER:
            self.await_api_server()
        if kind.restarts:
            self.restart(kind.restarts)

    def certify_kubelet(self) -> None:
        """Give the kubelet a certificate of this host's own making, and see it serve: the static pods wait for it."""
        argv = [KUBEADM, "kubeconfig", "user", "--client-name", f"system:node:{self.params['node_name']}"]
        argv += ["--org", "system:nodes", "--config", self.params["config"], "--validity-period", f"{KUBELET_HOURS}h"]
        fields = kubeconfig.parse(self.command(argv, "making a certificate for the kubelet"))
        pem = fields["client-certificate-data"] + fields["client-key-data"]
        # The name is a link; the kubelet moves it to its own next certificate.
        write_file(Path(KUBELET_CLIENT).resolve(), pem)
        self.restart_kubelet()

    def await_api_server(self) -> None:
        """See the API server show its renewed certificate, and be ready."""
        healthy, _seen = observe.wait_ready(self.params["node_address"], self.params["port"], 20.0)
        if not healthy:
            # It may have ended while certificates were of no use, and its next start be minutes away.
            self.restart_kubelet()
        self.wait_for("the API server", self.api_server_renewed)

    def api_server_renewed(self) -> str | None:
        """Return None when the API server shows the certificate that lies on the disk and is ready."""
        wanted = fingerprint(Path("/etc/kubernetes/pki/apiserver.crt").read_text())
        try:
            seen = shown(self.params["node_address"], self.params["port"])
        except OSError as error:
            return str(error)
        if seen != wanted:
            return "it shows its former certificate still"
        healthy, told = observe.wait_ready(self.params["node_address"], self.params["port"], 0.0)
        return None if healthy else told

    def restart(self, component: str) -> None:
        """End a component; the kubelet starts it anew at once. Another node leads meanwhile."""
        if not systemd.unit(self.run, "kubelet.service", [])["active"]:
            self.restart_kubelet()
        began = time.time()
        for pid in systemd.processes(component):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self.wait_for(component, lambda: self.component_healthy(component, began))

    def bootstrap_kubelet(self) -> None:
        """Let the kubelet ask for a certificate with a token; the token's file is gone afterwards."""
        server = f"https://{self.params['endpoint']}:{self.params['port']}"
        discovery = config.discovery_kubeconfig(server, self.params["ca_pem"], self.params["token"])
        write_file(Path(BOOTSTRAP), json.dumps(discovery))
        try:
            self.restart_kubelet()
            self.wait_for("the kubelet's certificate", kubelet_certified)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(BOOTSTRAP).unlink()


def kubelet_certified() -> str | None:
    """Return None when the kubelet has a certificate that is valid."""
    seen = described(KUBELET_CLIENT, datetime.datetime.now(datetime.timezone.utc))
    return f"it ended on {seen['ends']}" if seen["reason"] == EXPIRED or not seen["ends"] else None


def fingerprint(pem: str) -> str:
    """Return the digest of the first certificate in a PEM file. Pure."""
    end = "-----END CERTIFICATE-----"
    first = pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


def shown(address: str, port: int) -> str:
    """Return the digest of the certificate a server shows. It is compared with a file, so nothing else is checked."""
    context = ssl._create_unverified_context()
    with (
        socket.create_connection((address, port), timeout=3) as raw,
        context.wrap_socket(raw, server_hostname=None) as connection,
    ):
        return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
