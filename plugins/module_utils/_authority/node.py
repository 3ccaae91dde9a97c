# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a host's components trust what lies on its disk, and its certificates signed again. One component at a time."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import time
from pathlib import Path

from .._kubeadm import api, kubeconfig, observe, systemd
from .._kubeadm.certificates import BOOTSTRAP, KUBEADM_MAKES, Renewal
from .._kubeadm.errors import KubeadmError
from .._kubeadm.steps import write_file
from . import catalogue, look

_TRUSTED = re.compile(r"^(\s*certificate-authority-data:\s*).*$", re.MULTILINE)
# Which component has to start anew to read a kubeconfig.
READER = {
    "/etc/kubernetes/controller-manager.conf": "kube-controller-manager",
    "/etc/kubernetes/scheduler.conf": "kube-scheduler",
    catalogue.APPROVER_CONF: "caravan-csr-approver",
    catalogue.KUBELET_CONF: "kubelet",
}
# In the order in which they depend on each other.
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "caravan-csr-approver", "kubelet")

# Seconds in which a kubelet starts a component that it does not hold back.
PATIENCE = 12.0


def trusting(text: str, bundle: str) -> str:
    """Return a kubeconfig that trusts the certificates of `bundle`. Pure."""
    encoded = base64.b64encode(bundle.encode()).decode()
    return _TRUSTED.sub(lambda match: match.group(1) + encoded, text)


def distrusting(paths: tuple[str, ...], bundle: str) -> list[str]:
    """Return those kubeconfigs that are there and trust others than the certificates of `bundle`."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            if kubeconfig.parse(Path(path).read_text()).get("certificate-authority-data", bundle) != bundle:
                found.append(path)
    return found


class Node(Renewal):
    """Parameters: node_address, port, peers (addresses of other API servers), config, api_timeout, token, endpoint."""

    def to_reload(self, groups: list[str]) -> tuple[list[str], list[str]]:
        """Return (kubeconfigs to be written, components to be started anew)."""
        written = distrusting(catalogue.KUBECONFIGS, observe.ca_pem())
        due = set(look.stale(self.run, groups)) | {READER[path] for path in written if path in READER}
        return written, [name for name in COMPONENTS if name in due]

    def reload(self, written: list[str], components: list[str]) -> None:
        """Have every component of this host use what lies on its disk."""
        bundle = observe.ca_pem()
        for path in written:
            write_file(Path(path), trusting(Path(path).read_text(), bundle))
        for name in components:
            if name == "kubelet":
                self.restart_kubelet()
            elif name == "caravan-csr-approver":
                self.command(["systemctl", "restart", f"{name}.service"], "restarting the approver")
            else:
                if name == "kube-apiserver":
                    self.wait_for("the other API servers", self.peers_ready)
                self.restart(name)

    def restart(self, component: str) -> None:
        """End a component, have it started anew without delay, and see it well.

        A kubelet waits ever longer before it starts again what has ended several times. One that was itself started
        anew does so at once.
        """
        began = time.time()
        for pid in systemd.processes(component):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while look.newest_process(component) < began - 1.0:
            if time.monotonic() >= deadline:
                self.restart_kubelet()
                break
            time.sleep(0.3)
        self.wait_for(component, lambda: self.component_healthy(component, began))

    def peers_ready(self) -> str | None:
        """Return None when all other API servers serve: this one may then go away for a moment."""
        for address in self.params["peers"]:
            healthy, seen = api.ready(address, self.params["port"], observe.ca_pem())
            if not healthy:
                return f"{address}: {seen}"
        return None

    def sign(self, names: list[str]) -> None:
        """Have kubeadm issue certificates again, by the authority that signs now."""
        self.renew([kind for kind in KUBEADM_MAKES if kind.name in names])

    def ask_again(self) -> None:
        """Let the kubelet ask for its certificates again, with a token, as when it joined.

        While it has none for its port, logs and exec of its pods do not work: some seconds. When it gets none, it goes
        on with those it has.
        """
        links = {path: str(Path(path).readlink()) for path in (catalogue.KUBELET_CLIENT, catalogue.KUBELET_SERVER)}
        for path in links:
            Path(path).unlink()
        try:
            self.bootstrap_kubelet()
            self.wait_for("the kubelet's certificate for its port", self.kubelet_shows)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(BOOTSTRAP).unlink()
            for path, target in links.items():
                if not Path(path).exists():
                    Path(path).symlink_to(target)
            self.command(["systemctl", "restart", "kubelet.service"], "restarting the kubelet")
            raise

    def kubelet_shows(self) -> str | None:
        """Return None when the kubelet's port shows the certificate that lies on the disk."""
        wanted = look.certificate_in(catalogue.KUBELET_SERVER)
        if not wanted:
            return "none was issued yet (journalctl -u caravan-csr-approver on the control-plane hosts)"
        seen = look.shown(self.params["node_address"], 10250)
        return None if "".join(seen.split()) == "".join(wanted.split()) else "its port does not show it yet"


def kubelet_is_whole() -> None:
    """Raise KubeadmError where the kubelet's certificates are not links to dated files, as it makes them."""
    for path in (catalogue.KUBELET_CLIENT, catalogue.KUBELET_SERVER):
        if not Path(path).is_symlink():
            raise KubeadmError(
                f"{path} is no link, as the kubelet makes it; it was changed by hand. Nothing was changed."
            )
