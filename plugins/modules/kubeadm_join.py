#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_join
short_description: Join this host to its Kubernetes cluster with kubeadm
version_added: 0.1.0
description:
  - Runs C(kubeadm join) as a control-plane node or a worker, or completes one that was interrupted. A host that is
    complete is left alone.
  - A control-plane host must hold the cluster's CAs and service-account key already; nothing is downloaded from the
    cluster.
  - The token is only ever in files on a memory-backed file system, for as long as kubeadm runs.
author:
  - Caravan contributors (@caravan-cluster)
options:
  control_plane:
    description: Whether to join as a control-plane node.
    type: bool
    default: false
  endpoint:
    description: DNS name of the API.
    type: str
    required: true
  token:
    description: A bootstrap token, see M(caravan.cluster.kubeadm_token).
    type: str
    required: true
  ca_pem:
    description: The cluster's CA certificate. Only a cluster with this CA is joined.
    type: str
    required: true
  node_name:
    description: The name of the node.
    type: str
    required: true
  labels:
    description: Labels the kubelet registers itself with. Not those it may not give itself.
    type: dict
    default: {}
  taints:
    description: Taints the node is registered with, each with C(key), C(value) and C(effect).
    type: list
    elements: dict
    default: []
  cri_socket:
    description: The container runtime's socket.
    type: str
    default: unix:///run/containerd/containerd.sock
  patches:
    description: Directory of kubeadm patches on the host.
    type: path
  timeouts:
    description: The C(timeouts) of kubeadm's configuration.
    type: dict
    default: {}
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
  - caravan.cluster.kubeadm.static_pods
  - caravan.cluster.kubeadm.node
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Join the worker
  caravan.cluster.kubeadm_join:
    endpoint: api.demo.example.com
    token: "{{ ticket.token }}"
    ca_pem: "{{ ticket.ca_pem }}"
    node_name: worker1
    node_address: 192.0.2.21
    cluster: {name: demo, endpoint: api.demo.example.com}
"""

RETURN = r"""
steps:
  description: What was done (in check mode, what would be).
  type: list
  elements: str
  returned: success
  sample: [kubeadm_join, mark]
elapsed_seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 6.8
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import arguments, observe, planner


def argument_spec() -> dict:
    return {
        **arguments.API,
        **arguments.STATIC_PODS,
        **arguments.NODE,
        "control_plane": {"type": "bool", "default": False},
        "endpoint": {"type": "str", "required": True},
        "token": {"type": "str", "required": True, "no_log": True},
        "ca_pem": {"type": "str", "required": True},
        "node_name": {"type": "str", "required": True},
        "labels": {"type": "dict", "default": {}},
        "taints": {"type": "list", "elements": "dict", "default": []},
        "cri_socket": {"type": "str", "default": "unix:///run/containerd/containerd.sock"},
        "patches": {"type": "path"},
        "timeouts": {"type": "dict", "default": {}},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    control_plane = params["control_plane"]

    def wanted() -> list:
        return planner.plan_join(
            observe.local(module.run_command, control_plane, params["config_files"]), control_plane
        )

    arguments.perform(module, params, wanted, params["lock_timeout"])


if __name__ == "__main__":
    main()
