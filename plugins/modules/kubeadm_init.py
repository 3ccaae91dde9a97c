#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_init
short_description: Start a Kubernetes cluster on this host with kubeadm
version_added: 0.1.0
description:
  - Runs C(kubeadm init), or completes one that was interrupted. A host that is complete is left alone.
  - Whether a cluster may be started at all is decided over all hosts, by the filter
    P(caravan.cluster.kubeadm_plan#filter).
  - Removes C(super-admin.conf) and the token that kubeadm makes.
author:
  - Caravan contributors (@caravan-cluster)
options:
  config:
    description: kubeadm's configuration file on the host.
    type: path
    required: true
  node_address:
    description: This node's address; its API server listens on it.
    type: str
    required: true
  port:
    description: The port of the API servers.
    type: int
    default: 6443
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
- name: Start the cluster
  caravan.cluster.kubeadm_init:
    config: /etc/kubernetes/caravan/kubeadm.yml
    node_address: 192.0.2.11
    cluster: {name: demo, endpoint: api.demo.example.com}
"""

RETURN = r"""
steps:
  description: What was done (in check mode, what would be).
  type: list
  elements: str
  returned: success
  sample: [kubeadm_init, remove_tokens, remove_super_admin, mark]
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
        "config": {"type": "path", "required": True},
        "node_address": {"type": "str", "required": True},
        "port": {"type": "int", "default": 6443},
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
    params = {**module.params, "control_plane": True}
    try:
        if module.check_mode:
            steps = planner.plan_init(observe.local(module.run_command, True, params["config_files"]))
        else:
            with locked(params["lock_timeout"]):
                # Looked at again under the lock: the run before may have come to its end meanwhile.
                steps = planner.plan_init(observe.local(module.run_command, True, params["config_files"]))
                Steps(module.run_command, params).perform(steps)
    except (KubeadmError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(steps), steps=steps, elapsed_seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
