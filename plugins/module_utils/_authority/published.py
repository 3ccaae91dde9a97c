# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the cluster's objects say to trust: for pods, for machines that join, for extension API servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._identity.pem import certificates, fingerprint
from .._kubeadm.api import MERGE_PATCH, Api
from .node import trusting

ROOT_CA = "kube-root-ca.crt"
ROOT_CAS = "/api/v1/configmaps"
EXTENSION = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
CLUSTER_INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"


def fingerprints(text: str) -> list[str]:
    """Return the fingerprints of a bundle, sorted. Pure."""
    return sorted(fingerprint(certificate) for certificate in certificates(text))


def differs(
    root_cas: Sequence[Mapping[str, Any]], extension: Mapping[str, str], bundle: str, front_proxy: str
) -> list[str]:
    """Return which objects do not name exactly the certificates of the bundles. Pure.

    `root_cas`: the ConfigMaps kube-root-ca.crt; `extension`: the data of extension-apiserver-authentication.
    """
    found = [
        f"{item['metadata']['namespace']}/{ROOT_CA}"
        for item in root_cas
        if fingerprints((item.get("data") or {}).get("ca.crt", "")) != fingerprints(bundle)
    ]
    for name, wanted in (("client-ca-file", bundle), ("requestheader-client-ca-file", front_proxy)):
        if fingerprints(extension.get(name, "")) != fingerprints(wanted):
            found.append(f"kube-system/extension-apiserver-authentication ({name})")
    return found


def to_drop(extension: Mapping[str, str], bundle: str, front_proxy: str) -> dict[str, str]:
    """Return what of the data has to be replaced: API servers add to it, and take nothing out themselves. Pure."""
    patch = {}
    for name, wanted in (("client-ca-file", bundle), ("requestheader-client-ca-file", front_proxy)):
        seen = set(fingerprints(extension.get(name, "")))
        if seen > set(fingerprints(wanted)):
            patch[name] = wanted
    return patch


def named(root_cas: Sequence[Mapping[str, Any]], extension: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the certificates that the objects name, by authority, each once. Pure."""
    texts = [(item.get("data") or {}).get("ca.crt", "") for item in root_cas] + [extension.get("client-ca-file", "")]
    return {
        "kubernetes": sorted({one for text in texts for one in certificates(text)}),
        "front_proxy": sorted(set(certificates(extension.get("requestheader-client-ca-file", "")))),
    }


def look(client: Api, bundle: str, front_proxy: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return (which objects do not name exactly the certificates of the bundles, what they name by authority)."""
    listed = client.request("GET", ROOT_CAS, query=f"fieldSelector=metadata.name%3D{ROOT_CA}")["items"]
    extension = (client.get_or_none(EXTENSION) or {}).get("data") or {}
    found = differs(listed, extension, bundle, front_proxy)
    info = client.get_or_none(CLUSTER_INFO)
    if info is not None and trusting(info["data"]["kubeconfig"], bundle) != info["data"]["kubeconfig"]:
        found.append("kube-public/cluster-info")
    return found, named(listed, extension)


def publish(client: Api, bundle: str, front_proxy: str) -> None:
    """Write what no component keeps up itself: cluster-info, and what API servers do not take out."""
    info = client.get_or_none(CLUSTER_INFO)
    if info is not None:
        wanted = trusting(info["data"]["kubeconfig"], bundle)
        if wanted != info["data"]["kubeconfig"]:
            client.request("PATCH", CLUSTER_INFO, {"data": {"kubeconfig": wanted}}, MERGE_PATCH)
    extension = (client.get_or_none(EXTENSION) or {}).get("data") or {}
    patch = to_drop(extension, bundle, front_proxy)
    if patch:
        client.request("PATCH", EXTENSION, {"data": patch}, MERGE_PATCH)
