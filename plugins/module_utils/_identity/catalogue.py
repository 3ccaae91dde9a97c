# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are a cluster's identity, and where they lie.

The paths are kubeadm's where kubeadm reads them, so that it finds its authorities and makes the rest itself.
"""

from __future__ import annotations

from dataclasses import dataclass

# The parts a host can have in the cluster: the names of its groups.
ETCD = "etcd"
CONTROL_PLANE = "control_plane"

KUBERNETES_PKI = "/etc/kubernetes/pki"
ETCD_PKI = "/etc/etcd/pki"


@dataclass(frozen=True)
class SharedFile:
    """A file with the same content on all hosts of a part. `value` names the content, for it can lie in two places."""

    path: str
    value: str
    part: str
    mode: str = "0600"
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True)
class LeafFile:
    """A certificate of its own for each host of a part, signed by etcd's authority."""

    certificate: str
    key: str
    part: str
    common_name: str
    usages: tuple[str, ...]
    with_names: bool
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True)
class Item:
    """What is generated together. `public` follows from `secret` and is never held without it."""

    name: str
    title: str
    secret: str
    public: str | None = None
    common_name: str = ""


ITEMS = (
    Item("kubernetes_ca", "Kubernetes' certificate authority", "kubernetes_ca.key", "kubernetes_ca.crt", "kubernetes"),
    Item("front_proxy_ca", "the front proxy's authority", "front_proxy_ca.key", "front_proxy_ca.crt", "front-proxy-ca"),
    Item("service_account", "the service-account key", "service_account.key", "service_account.pub"),
    Item("encryption", "the secrets-encryption keys", "encryption"),
    Item("etcd_ca", "etcd's certificate authority", "etcd_ca.key", "etcd_ca.crt", "etcd-ca"),
)

# Keys before certificates: a run that is cut off between the two leaves a key without its certificate, which the next
# run makes again. A certificate without its key would be lost for good.
SHARED = (
    SharedFile(f"{KUBERNETES_PKI}/ca.key", "kubernetes_ca.key", CONTROL_PLANE),
    SharedFile(f"{KUBERNETES_PKI}/front-proxy-ca.key", "front_proxy_ca.key", CONTROL_PLANE),
    SharedFile(f"{KUBERNETES_PKI}/sa.key", "service_account.key", CONTROL_PLANE),
    SharedFile("/etc/kubernetes/encryption.yml", "encryption", CONTROL_PLANE),
    SharedFile(f"{ETCD_PKI}/ca.key", "etcd_ca.key", ETCD),
    SharedFile(f"{KUBERNETES_PKI}/ca.crt", "kubernetes_ca.crt", CONTROL_PLANE, "0644"),
    SharedFile(f"{KUBERNETES_PKI}/front-proxy-ca.crt", "front_proxy_ca.crt", CONTROL_PLANE, "0644"),
    SharedFile(f"{KUBERNETES_PKI}/sa.pub", "service_account.pub", CONTROL_PLANE, "0644"),
    SharedFile(f"{KUBERNETES_PKI}/etcd-ca.crt", "etcd_ca.crt", CONTROL_PLANE, "0644"),
    SharedFile(f"{ETCD_PKI}/ca.crt", "etcd_ca.crt", ETCD, "0644"),
)

# What a host can make itself of a shared file: its first certificate. While an authority is rotated, its file holds two
# of them, the one that signs first. The controller manager signs only with a file that holds no other.
SIGNING = SharedFile(f"{KUBERNETES_PKI}/ca-signing.crt", "kubernetes_ca.crt", CONTROL_PLANE, "0644")
DERIVED = (SIGNING,)

# etcd calls itself through its gateway with the server certificate, which is why that one is a client's, too. It checks
# the addresses in a client's certificate, if any, against where the client comes from: pure clients have none.
LEAVES = (
    LeafFile(
        f"{ETCD_PKI}/server.crt", f"{ETCD_PKI}/server.key", ETCD, "{name}", ("server", "client"), True, "etcd", "etcd"
    ),
    LeafFile(
        f"{ETCD_PKI}/peer.crt", f"{ETCD_PKI}/peer.key", ETCD, "{name}", ("server", "client"), True, "etcd", "etcd"
    ),
    LeafFile(f"{ETCD_PKI}/client.crt", f"{ETCD_PKI}/client.key", ETCD, "etcdctl", ("client",), False),
    LeafFile(
        f"{KUBERNETES_PKI}/apiserver-etcd-client.crt",
        f"{KUBERNETES_PKI}/apiserver-etcd-client.key",
        CONTROL_PLANE,
        "kube-apiserver-etcd-client",
        ("client",),
        False,
    ),
)

DIRECTORIES = {
    ETCD: (
        {"path": "/etc/etcd", "mode": "0755", "owner": "root", "group": "root"},
        {"path": ETCD_PKI, "mode": "0750", "owner": "root", "group": "etcd"},
    ),
    CONTROL_PLANE: (
        {"path": "/etc/kubernetes", "mode": "0755", "owner": "root", "group": "root"},
        {"path": KUBERNETES_PKI, "mode": "0700", "owner": "root", "group": "root"},
    ),
}

# Where one of these exists, a cluster has lived on the host: a missing key is then lost, not yet to be made.
SIGNS_OF_LIFE = (
    "/var/lib/etcd/member",
    "/etc/etcd/member.json",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/admin.conf",
)


def shared_of(parts: list[str]) -> list[SharedFile]:
    return [file for file in SHARED if file.part in parts]


def derived_of(parts: list[str]) -> list[SharedFile]:
    return [file for file in DERIVED if file.part in parts]


def leaves_of(parts: list[str]) -> list[LeafFile]:
    return [leaf for leaf in LEAVES if leaf.part in parts]


def item_of(value: str) -> Item:
    return next(item for item in ITEMS if value in (item.secret, item.public))
