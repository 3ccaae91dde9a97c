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

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import arguments, observe, planner


def argument_spec() -> dict:
    return {
        **arguments.API,
        **arguments.STATIC_PODS,
        **arguments.NODE,
        "config": {"type": "path", "required": True},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = {**module.params, "control_plane": True}

    def wanted() -> list:
        return planner.plan_init(observe.local(module.run_command, True, params["config_files"]))

    arguments.perform(module, params, wanted, params["lock_timeout"])


if __name__ == "__main__":
    main()
