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
  node_address:
    description: This node's address; its API server listens on it.
    type: str
    required: true
  port:
    description: The port of the API servers.
    type: int
    default: 6443
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
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
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

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import observe, planner
from ..module_utils._kubeadm.errors import KubeadmError
from ..module_utils._kubeadm.steps import Steps, locked


def argument_spec() -> dict:
    return {
        "control_plane": {"type": "bool", "default": False},
        "endpoint": {"type": "str", "required": True},
        "token": {"type": "str", "required": True, "no_log": True},
        "ca_pem": {"type": "str", "required": True},
        "node_name": {"type": "str", "required": True},
        "node_address": {"type": "str", "required": True},
        "port": {"type": "int", "default": 6443},
        "labels": {"type": "dict", "default": {}},
        "taints": {"type": "list", "elements": "dict", "default": []},
        "cri_socket": {"type": "str", "default": "unix:///run/containerd/containerd.sock"},
        "patches": {"type": "path"},
        "timeouts": {"type": "dict", "default": {}},
        "config_files": {"type": "list", "elements": "path", "default": []},
        "cert_sans": {"type": "list", "elements": "str", "default": []},
        "cluster": {"type": "dict", "required": True},
        "ignore_preflight_errors": {"type": "list", "elements": "str", "default": []},
        "api_timeout": {"type": "int", "default": 240},
        "lock_timeout": {"type": "int", "default": 300},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    began = time.monotonic()
    params = module.params
    control_plane = params["control_plane"]

    def wanted() -> list:
        return planner.plan_join(
            observe.local(module.run_command, control_plane, params["config_files"]), control_plane
        )

    try:
        if module.check_mode:
            steps = wanted()
        else:
            with locked(params["lock_timeout"]):
                # Looked at again under the lock: the run before may have come to its end meanwhile.
                steps = wanted()
                Steps(module.run_command, params).perform(steps)
    except (KubeadmError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(steps), steps=steps, elapsed_seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
