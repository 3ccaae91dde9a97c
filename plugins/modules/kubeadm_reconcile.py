#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_reconcile
short_description: Bring a running node to its changed configuration
version_added: 0.1.0
description:
  - Restarts the kubelet when it is older than its configuration, and makes the static pods of the control plane again
    when their inputs differ from the last application or a manifest was changed by hand.
  - Returns when every component that was changed is seen to run anew and to serve. Use C(throttle) so that only one
    control-plane node is worked on at a time.
author:
  - Caravan contributors (@caravan-cluster)
options:
  control_plane:
    description: Whether the host is a control-plane host.
    type: bool
    default: false
  config:
    description: kubeadm's configuration file on the host. Needed on a control-plane host.
    type: path
  force:
    description:
      - Report in check mode that the static pods would be made again, though the files on disk do not show it yet.
    type: bool
    default: false
  api_timeout:
    description: How long to wait, in seconds, for each component.
    type: int
    default: 120
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
  - caravan.cluster.kubeadm.static_pods
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Follow the configuration, one node after another
  caravan.cluster.kubeadm_reconcile:
    control_plane: true
    config: /etc/kubernetes/caravan/kubeadm.yml
    config_files: [/etc/kubernetes/caravan/kubeadm.yml, /etc/kubernetes/caravan/patches]
    node_address: 192.0.2.11
  throttle: 1
"""

RETURN = r"""
steps:
  description: What was done (in check mode, what would be).
  type: list
  elements: str
  returned: success
  sample: [restart_kubelet, render_control_plane]
elapsed_seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 6.8
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import arguments, observe, planner

# How long to wait, in seconds, for the kubeadm of an earlier run that was cut off from its controller.
LOCK_TIMEOUT = 300


def argument_spec() -> dict:
    return {
        **arguments.API,
        **arguments.STATIC_PODS,
        "control_plane": {"type": "bool", "default": False},
        "config": {"type": "path"},
        "force": {"type": "bool", "default": False},
        "api_timeout": {"type": "int", "default": 120},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(), required_if=[("control_plane", True, ["config"])], supports_check_mode=True
    )
    params = module.params

    def wanted() -> list:
        state = observe.local(module.run_command, params["control_plane"], params["config_files"])
        if not state["complete"]:
            return []
        return planner.plan_reconcile(state, bool(params["control_plane"] and params["force"] and module.check_mode))

    arguments.perform(module, params, wanted, LOCK_TIMEOUT)


if __name__ == "__main__":
    main()
