# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All certificates of this host, in the order in which they are renewed."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._identity import crypto
from .._identity.catalogue import CONTROL_PLANE, shared_of
from .._kubeadm import certificates as kubeadm
from . import leaves
from .config import Config
from .model import EXPIRED, KUBELET, NOBODY, PLAYBOOK, TIMER, Certificate

APPROVER = "csr-approver.conf"
APPROVER_PATH = "/etc/kubernetes/caravan/csr-approver.conf"
KUBELET_CLIENT = "kubelet-client"
_KUBELETS = {KUBELET_CLIENT: kubeadm.KUBELET_CLIENT, "kubelet-server": kubeadm.KUBELET_SERVER}


def read(config: Config, now: datetime) -> list[Certificate]:
    """Return them all; those that are not there are left out, as on a host that is not set up yet."""
    return [*_etcd(config, now), *_kubernetes(config, now), *_authorities(config)]


def leaf_name(leaf: leaves.Leaf) -> str:
    """Return how one of etcd's certificates is called: etcd-server, apiserver-etcd-client."""
    stem = Path(leaf.file.certificate).stem
    return stem if leaf.file.part == CONTROL_PLANE else f"etcd-{stem}"


def _etcd(config: Config, now: datetime) -> list[Certificate]:
    renewed_by = TIMER if leaves.can_issue() else PLAYBOOK
    return [
        Certificate(
            name=leaf_name(leaf),
            path=leaf.file.certificate,
            renewed_by=renewed_by,
            begins=leaf.held.not_before,
            ends=leaf.held.not_after,
            reason=leaf.aged,
            note=leaf.wrong,
        )
        for leaf in leaves.on_host(config.parts, config.site, now)
        if leaf.held is not None
    ]


def _kubernetes(config: Config, now: datetime) -> list[Certificate]:
    if CONTROL_PLANE not in config.parts:
        return []
    paths = {**_KUBELETS, **{kind.name: kind.path for kind in kubeadm.KUBEADM_MAKES}, APPROVER: APPROVER_PATH}
    seen = kubeadm.on_host(control_plane=True, everything=False)
    seen[APPROVER] = {**kubeadm.described(APPROVER_PATH, now), "renewed_by": "caravan"}
    found = []
    for name, path in paths.items():
        if name not in seen or not Path(path).exists():
            continue
        # A kubelet whose certificate has expired does not start: it is given another one here.
        own = seen[name]["renewed_by"] != "kubelet" or (name == KUBELET_CLIENT and seen[name]["reason"] == EXPIRED)
        found.append(_certificate(name, path, TIMER if own else KUBELET, seen[name]))
    return found


def _certificate(name: str, path: str, renewed_by: str, seen: dict[str, Any]) -> Certificate:
    if not seen["ends"]:
        # Not a matter of its age: nothing that a timer should put right by itself.
        return Certificate(name, path, renewed_by, None, None, note=seen["reason"])
    return Certificate(name, path, renewed_by, _time(seen["begins"]), _time(seen["ends"]), seen["reason"])


def _authorities(config: Config) -> list[Certificate]:
    found = {}
    for file in shared_of(config.parts):
        path = Path(file.path)
        if path.suffix != ".crt" or not path.exists():
            continue
        # A host in both groups holds etcd's twice.
        name = path.stem if file.part == CONTROL_PLANE else f"etcd-{path.stem}"
        begins, ends = crypto.lifetime(path.read_text(encoding="utf-8"))
        found[name] = Certificate(name, file.path, NOBODY, begins, ends)
    return list(found.values())


def _time(text: str) -> datetime:
    return datetime.strptime(text, kubeadm.TIME_FORMAT).replace(tzinfo=timezone.utc)
