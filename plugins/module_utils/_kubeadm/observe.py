# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a host is: files, services, its API server, etcd. Changes nothing."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Callable

from . import api, etcd, kubeconfig, nodes, planner, systemd, tokens, users
from .errors import KubeadmError

KUBERNETES = "/etc/kubernetes"
STATE = "/etc/caravan"
KUBELET = "/var/lib/kubelet"
KUBELET_INPUTS = [
    "/usr/local/bin/kubelet",
    "/etc/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service.d",
    "/etc/kubernetes/kubelet.conf.d",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
]


def marker_path() -> Path:
    """Return the file that says this host is a complete part of the cluster, and of which."""
    return Path(STATE, "cluster.json")


def started_path() -> Path:
    """Return the file that says kubeadm was started here and not seen to end."""
    return Path(STATE, "kubeadm.started")


def applied_path() -> Path:
    """Return the file that says from which inputs the static pods were made."""
    return Path(STATE, "control_plane.json")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty when there is no such file or it is not whole."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def sha256_of(paths: list[str]) -> str:
    """Return one digest over the names and contents of files; a directory stands for the files in it."""
    digest = hashlib.sha256()
    for name in paths:
        path = Path(name)
        members = sorted(path.iterdir()) if path.is_dir() else [path]
        for member in members:
            digest.update(str(member).encode() + b"\0")
            digest.update(member.read_bytes() if member.is_file() else b"-")
            digest.update(b"\0")
    return digest.hexdigest()


def manifests() -> dict[str, str]:
    """Return {component: sha256} of the static pods of the control plane."""
    found = {}
    for name in planner.CONTROL_PLANE_MANIFESTS:
        path = Path(KUBERNETES, "manifests", name + ".yaml")
        if path.is_file() and path.stat().st_size > 0:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def kubelet_conf() -> str:
    """Return missing, valid or invalid."""
    path = Path(KUBERNETES, "kubelet.conf")
    if not path.is_file():
        return "missing"
    text = path.read_text()
    if not kubeconfig.usable(text):
        return "invalid"
    certificate = kubeconfig.parse(text).get("client-certificate")
    if certificate and not Path(certificate).exists():
        return "invalid"
    return "valid"


def ca_pem() -> str:
    """Return the cluster's CA certificate as this host holds it, empty when it holds none."""
    path = Path(KUBERNETES, "pki", "ca.crt")
    return path.read_text() if path.is_file() else ""


def ca_sha256() -> str:
    """Return the digest of that file, empty when there is none."""
    pem = ca_pem()
    return hashlib.sha256(pem.encode()).hexdigest() if pem else ""


def local(run: systemd.Run, control_plane: bool, inputs: list[str]) -> dict[str, Any]:
    """Return the state of this host without asking anything over the network."""
    admin = Path(KUBERNETES, "admin.conf")
    state: dict[str, Any] = {
        "marker": read_json(marker_path()),
        "started": str(read_json(started_path()).get("action", "")),
        "kubelet_conf": kubelet_conf(),
        "manifests": manifests() if control_plane else {},
        "admin_conf": control_plane and admin.is_file() and kubeconfig.usable(admin.read_text()),
        "super_admin_conf": Path(KUBERNETES, "super-admin.conf").exists(),
        "kubelet": systemd.unit(run, "kubelet.service", KUBELET_INPUTS),
        "applied": read_json(applied_path()),
        "inputs": sha256_of(inputs) if control_plane else "",
        "api_healthy": False,
        "api_detail": "",
        "etcd_keys": None,
        "etcd_error": "",
        "nodes": None,
        "declared": {},
        "objects_missing": [],
        "tokens": [],
    }
    state["ca_sha256"] = ca_sha256()
    # A marker alone is not enough: a machine whose kubelet credentials are gone has to join again.
    state["complete"] = bool(state["marker"]) and state["kubelet_conf"] == "valid" and not state["started"]
    state["finishable"] = planner.finishable(state, control_plane)
    state["partial"] = planner.partial(state)
    state["control_plane_drift"] = control_plane and planner.control_plane_drift(state)
    return state


def wait_ready(
    address: str,
    port: int,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    ask: Callable[[str, int, str], tuple[bool, str]] = api.ready,
) -> tuple[bool, str]:
    """Wait until the API server of this host is ready. Returns (healthy, what was seen last)."""
    deadline = clock() + timeout
    while True:
        healthy, seen = ask(address, port, ca_pem())
        if healthy or clock() >= deadline:
            return healthy, seen
        sleep(0.3)


def cluster(state: dict[str, Any], address: str, port: int, objects: list[dict[str, Any]]) -> None:
    """Add what the API of this host says: nodes, what is declared of them, missing objects, tokens that were left."""
    client = api.from_kubeconfig(KUBERNETES + "/admin.conf", address, port)
    listed = client.request("GET", "/api/v1/nodes")
    state["nodes"] = {
        item["metadata"]["name"]: {
            "labels": item["metadata"].get("labels") or {},
            "taints": item["spec"].get("taints") or [],
        }
        for item in listed["items"]
    }
    declared = client.get_or_none(f"/api/v1/namespaces/{nodes.DECLARED_NAMESPACE}/configmaps/{nodes.DECLARED_NAME}")
    state["declared"] = (declared or {}).get("data") or {}
    state["tokens"] = tokens.listed(client)
    state["objects_missing"] = [
        "{}/{}".format(item["kind"], item["metadata"]["name"])
        for item in objects
        if not api.contains(client.get_or_none(api.object_path(item)), item)
    ]


def observe(run: systemd.Run, params: dict[str, Any]) -> dict[str, Any]:
    """Return the full state of a host.

    params: control_plane, node_address, port, config_files, objects, units, credentials, api_timeout,
    etcd {endpoints, ca, cert, key}.
    """
    control_plane = bool(params["control_plane"])
    state = local(run, control_plane, params["config_files"])
    state["units"] = {
        name: systemd.unit(run, name, list(inputs)) for name, inputs in (params.get("units") or {}).items()
    }
    # Why each of these kubeconfigs has to be written; empty where it is in order.
    now = datetime.datetime.now(datetime.timezone.utc)
    state["credentials"] = {}
    for name, hours in (params.get("credentials") or {}).items():
        path = Path(name)
        text = path.read_text() if path.is_file() else ""
        left = datetime.timedelta(hours=int(hours))
        state["credentials"][name] = users.reason_to_write(text, state["ca_sha256"], now, left)
    if not control_plane:
        return state
    if state["manifests"] or state["complete"]:
        timeout = float(params["api_timeout"]) if state["complete"] else 0.0
        state["api_healthy"], state["api_detail"] = wait_ready(params["node_address"], params["port"], timeout)
    if state["api_healthy"] and state["admin_conf"] and not state["started"]:
        try:
            cluster(state, params["node_address"], params["port"], params["objects"])
        except KubeadmError as error:
            state["api_healthy"], state["api_detail"] = False, str(error)
    elif not state["complete"]:
        try:
            state["etcd_keys"] = etcd.registry_keys(
                params["etcd"]["endpoints"], params["etcd"]["ca"], params["etcd"]["cert"], params["etcd"]["key"]
            )
        except KubeadmError as error:
            state["etcd_error"] = str(error)
    return state
