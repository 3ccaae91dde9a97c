# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build kubeadm's configuration documents. Pure."""

from __future__ import annotations

import base64
from typing import Any

API_VERSION = "kubeadm.k8s.io/v1beta4"


def discovery_kubeconfig(server: str, ca_pem: str, token: str) -> dict[str, Any]:
    """Return a kubeconfig that trusts the cluster's own CA and carries the bootstrap token.

    The token is in it because anonymous requests are limited to health paths: kubeadm must not ask anonymously.
    """
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "caravan",
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(ca_pem.encode()).decode(),
                },
            }
        ],
        "users": [{"name": "bootstrap", "user": {"token": token}}],
        "contexts": [{"name": "bootstrap", "context": {"cluster": "caravan", "user": "bootstrap"}}],
        "current-context": "bootstrap",
    }


def join_configuration(params: dict[str, Any], discovery_path: str, ignored: list[str]) -> dict[str, Any]:
    """Return the JoinConfiguration of one node.

    `params`: node_name, node_address, labels, taints, cri_socket, patches, timeouts, token, control_plane, port.
    """
    extra_args = [{"name": "node-ip", "value": params["node_address"]}]
    if params["labels"]:
        value = ",".join("{}={}".format(key, params["labels"][key]) for key in sorted(params["labels"]))
        extra_args.append({"name": "node-labels", "value": value})
    document: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "JoinConfiguration",
        "discovery": {
            "file": {"kubeConfigPath": discovery_path},
            "tlsBootstrapToken": params["token"],
        },
        "nodeRegistration": {
            "name": params["node_name"],
            "criSocket": params["cri_socket"],
            "taints": params["taints"],
            "imagePullPolicy": "Never",
            "ignorePreflightErrors": ignored,
            "kubeletExtraArgs": extra_args,
        },
        "timeouts": params["timeouts"],
    }
    if params["patches"]:
        document["patches"] = {"directory": params["patches"]}
    if params["control_plane"]:
        document["controlPlane"] = {
            "localAPIEndpoint": {"advertiseAddress": params["node_address"], "bindPort": params["port"]}
        }
    return document
