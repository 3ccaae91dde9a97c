# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the kubeadm modules share. Their argument specification is in module_utils/_kubeadm/arguments.py."""

from __future__ import annotations


class ModuleDocFragment:
    """What a module is told of the node it runs on."""

    # Where the node's API server listens.
    DOCUMENTATION = r"""
options:
  node_address:
    description: This node's address; its API server listens on it.
    type: str
    required: true
  port:
    description: The port of the API servers.
    type: int
    default: 6443
"""

    # What the static pods of the control plane are made from.
    STATIC_PODS = r"""
options:
  config_files:
    description: What the static pods are made from; recorded so that a later difference is found.
    type: list
    elements: path
    default: []
  cert_sans:
    description: The names in the API server's certificate, recorded so that a later difference is found.
    type: list
    elements: str
    default: []
"""

    # How a node is started or joined.
    NODE = r"""
options:
  cluster:
    description:
      - What is written to C(/etc/caravan/cluster.json) when all is done. The file is the mark of a complete
        node.
    type: dict
    required: true
  ignore_preflight_errors:
    description:
      - Names of preflight errors of kubeadm that are ignored. The port of the API, which the node's load balancer
        holds, and what an interrupted run of kubeadm itself left behind need not be named.
    type: list
    elements: str
    default: []
  api_timeout:
    description: How long to wait, in seconds, for this host's API server.
    type: int
    default: 240
  lock_timeout:
    description: How long to wait, in seconds, for the kubeadm of an earlier run that was cut off from its controller.
    type: int
    default: 300
"""
