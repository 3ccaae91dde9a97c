# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The authorities: in which files hosts keep whom they trust, and what each authority has signed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._identity.catalogue import ETCD_PKI, KUBERNETES_PKI

KUBERNETES, FRONT_PROXY, ETCD = "kubernetes", "front_proxy", "etcd"
AUTHORITIES = (KUBERNETES, FRONT_PROXY, ETCD)

# The groups of the inventory.
ETCD_HOSTS, CONTROL_PLANE, WORKER = "etcd", "control_plane", "worker"

CA = f"{KUBERNETES_PKI}/ca.crt"
FRONT_PROXY_CA = f"{KUBERNETES_PKI}/front-proxy-ca.crt"
ETCD_CA_FOR_CLIENTS = f"{KUBERNETES_PKI}/etcd-ca.crt"
ETCD_CA = f"{ETCD_PKI}/ca.crt"
APPROVER_CONF = "/etc/kubernetes/caravan/csr-approver.conf"
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
KUBELET_CLIENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
KUBELET_SERVER = "/var/lib/kubelet/pki/kubelet-server-current.pem"


@dataclass(frozen=True)
class Bundle:
    """A file with the certificates that hosts of some groups trust. `key`: where hosts that sign have the key."""

    path: str
    authority: str
    groups: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True)
class Leaf:
    """A certificate that an authority has signed. `kubeadm`: what kubeadm calls it, where kubeadm renews it."""

    path: str
    authority: str
    groups: tuple[str, ...]
    kubeadm: str = ""


BUNDLES = (
    Bundle(CA, KUBERNETES, (CONTROL_PLANE, WORKER), f"{KUBERNETES_PKI}/ca.key"),
    Bundle(FRONT_PROXY_CA, FRONT_PROXY, (CONTROL_PLANE,), f"{KUBERNETES_PKI}/front-proxy-ca.key"),
    Bundle(ETCD_CA_FOR_CLIENTS, ETCD, (CONTROL_PLANE,)),
    Bundle(ETCD_CA, ETCD, (ETCD_HOSTS,), f"{ETCD_PKI}/ca.key"),
)

LEAVES = (
    Leaf("/etc/kubernetes/admin.conf", KUBERNETES, (CONTROL_PLANE,), "admin.conf"),
    Leaf(f"{KUBERNETES_PKI}/apiserver.crt", KUBERNETES, (CONTROL_PLANE,), "apiserver"),
    Leaf(f"{KUBERNETES_PKI}/apiserver-kubelet-client.crt", KUBERNETES, (CONTROL_PLANE,), "apiserver-kubelet-client"),
    Leaf(f"{KUBERNETES_PKI}/front-proxy-client.crt", FRONT_PROXY, (CONTROL_PLANE,), "front-proxy-client"),
    Leaf("/etc/kubernetes/controller-manager.conf", KUBERNETES, (CONTROL_PLANE,), "controller-manager.conf"),
    Leaf("/etc/kubernetes/scheduler.conf", KUBERNETES, (CONTROL_PLANE,), "scheduler.conf"),
    Leaf(APPROVER_CONF, KUBERNETES, (CONTROL_PLANE,)),
    Leaf(KUBELET_CLIENT, KUBERNETES, (CONTROL_PLANE, WORKER)),
    Leaf(KUBELET_SERVER, KUBERNETES, (CONTROL_PLANE, WORKER)),
    Leaf(f"{KUBERNETES_PKI}/apiserver-etcd-client.crt", ETCD, (CONTROL_PLANE,)),
    Leaf(f"{ETCD_PKI}/server.crt", ETCD, (ETCD_HOSTS,)),
    Leaf(f"{ETCD_PKI}/peer.crt", ETCD, (ETCD_HOSTS,)),
    Leaf(f"{ETCD_PKI}/client.crt", ETCD, (ETCD_HOSTS,)),
)

# The kubeconfigs on hosts, each with a copy of whom to trust.
KUBECONFIGS = (
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    APPROVER_CONF,
    KUBELET_CONF,
)

# What a component reads only when it starts. API servers take some of it by themselves; that they were started after it
# was written is what proves it.
READ_AT_START = {
    "kube-apiserver": (CA, FRONT_PROXY_CA, ETCD_CA_FOR_CLIENTS),
    "kube-controller-manager": (CA, FRONT_PROXY_CA, f"{KUBERNETES_PKI}/ca.key", f"{KUBERNETES_PKI}/ca-signing.crt"),
    "kube-scheduler": (CA,),
}


def bundles_of(groups: Sequence[str]) -> list[Bundle]:
    """Return the bundles a host in these groups has."""
    return [bundle for bundle in BUNDLES if set(bundle.groups) & set(groups)]


def leaves_of(groups: Sequence[str]) -> list[Leaf]:
    """Return the certificates a host in these groups has."""
    return [leaf for leaf in LEAVES if set(leaf.groups) & set(groups)]
