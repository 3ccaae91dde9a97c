# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a host: whom it trusts, what was signed for it, what its ports show. Changes nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._kubeadm import observe, systemd
from .._kubeadm.certificates import pem_of
from . import catalogue


def is_node(groups: Sequence[str]) -> bool:
    """Say whether hosts in these groups have a kubelet. Pure."""
    return bool({catalogue.CONTROL_PLANE, catalogue.WORKER} & set(groups))


def ports_of(groups: Sequence[str], ports: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Return (name, port, authority) of what listens on a host. `ports`: api, etcd_client, etcd_peer. Pure."""
    found = []
    if catalogue.CONTROL_PLANE in groups:
        found.append(("the API server's port", ports["api"], catalogue.KUBERNETES))
    if is_node(groups):
        found.append(("the kubelet's port", 10250, catalogue.KUBERNETES))
    if catalogue.ETCD_HOSTS in groups:
        found.append(("etcd's port for clients", ports["etcd_client"], catalogue.ETCD))
        found.append(("etcd's port for peers", ports["etcd_peer"], catalogue.ETCD))
    return found


def shown(address: str, port: int) -> str:
    """Return the certificate a server shows, as PEM; empty when there is no answer. It is not judged here."""
    context = ssl._create_unverified_context()
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, port), timeout=3) as raw,
        context.wrap_socket(raw, server_hostname=None) as connection,
    ):
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
    return ""


def certificate_in(path: str) -> str:
    """Return the certificate in a PEM file or a kubeconfig, without any key; empty when there is none."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        pem = pem_of(Path(path).read_text())
        end = "-----END CERTIFICATE-----"
        return pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)] + "\n"
    return ""


def newest_process(name: str) -> float:
    """Return when the newest process of a component started; 0 when there is none."""
    return max((systemd.start_time(pid) or 0.0 for pid in systemd.processes(name)), default=0.0)


def outdated(name: str) -> bool:
    """Say whether a component of the control plane started before one of the files was written that it reads then."""
    # One second: process start times are whole clock ticks since a boot time in whole seconds.
    return systemd.newest(catalogue.READ_AT_START[name]) > newest_process(name) + 1.0


def stale(run: systemd.Run, groups: Sequence[str]) -> list[str]:
    """Return the components of this host that do not use yet what lies on its disk."""
    found = [name for name in catalogue.READ_AT_START if catalogue.CONTROL_PLANE in groups and outdated(name)]
    if is_node(groups) and systemd.unit(run, "kubelet.service", [catalogue.CA])["stale"]:
        found.append("kubelet")
    if catalogue.ETCD_HOSTS in groups and systemd.unit(run, "etcd.service", [catalogue.ETCD_CA])["stale"]:
        found.append("etcd")
    return found


def problem(run: systemd.Run, groups: Sequence[str], address: str, port: int) -> str:
    """Return why authorities cannot be rotated with this host as it is; empty when they can."""
    missing = [bundle.path for bundle in catalogue.bundles_of(groups) if not Path(bundle.path).is_file()]
    if missing:
        return f"it has no {', '.join(missing)}: run site.yml first"
    if catalogue.ETCD_HOSTS in groups and not systemd.unit(run, "etcd.service", [])["active"]:
        return "etcd.service is not active (journalctl -u etcd)"
    if is_node(groups) and not systemd.unit(run, "kubelet.service", [])["active"]:
        return "kubelet.service is not active (journalctl -u kubelet)"
    if catalogue.CONTROL_PLANE in groups:
        manifest = Path(observe.KUBERNETES, "manifests", "kube-controller-manager.yaml")
        if "/ca-signing.crt" not in (manifest.read_text() if manifest.is_file() else ""):
            return f"{manifest} does not sign with ca-signing.crt: run site.yml first"
        # An earlier run may have been cut off while it started.
        healthy, seen = observe.wait_ready(address, port, 60.0)
        if not healthy:
            return f"its API server is not ready: {seen}"
    return ""


def look(run: systemd.Run, groups: Sequence[str], address: str, ports: Mapping[str, int]) -> dict[str, Any]:
    """Return {problem, bundles {path: text}, leaves [{what, path, authority, pem}], stale [component]}."""
    leaves = [
        {"what": leaf.path, "path": leaf.path, "authority": leaf.authority, "pem": certificate_in(leaf.path)}
        for leaf in catalogue.leaves_of(groups)
    ]
    leaves += [
        {"what": f"{name} {port}", "path": "", "authority": authority, "pem": shown(address, port)}
        for name, port, authority in ports_of(groups, ports)
    ]
    return {
        "problem": problem(run, groups, address, ports["api"]),
        "bundles": {
            bundle.path: Path(bundle.path).read_text()
            for bundle in catalogue.bundles_of(groups)
            if Path(bundle.path).is_file()
        },
        "leaves": leaves,
        "stale": stale(run, groups),
    }
