# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kubeadm_plan
short_description: Decide which control-plane hosts lead, start the cluster, or join
version_added: 0.1.0
description:
  - Takes what M(caravan.cluster.kubeadm_info) saw on each control-plane host. Any healthy host leads; none is special.
author:
  - Caravan contributors (@caravan-cluster)
positional: _input
options:
  _input:
    description: The states, by host.
    type: dict
    required: true
  adopt:
    description: Whether a control plane may be built on an etcd that holds a cluster's data already.
    type: bool
    default: false
  check_mode:
    description: Whether this is check mode, in which an etcd that is not there yet is no reason to refuse.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ states | caravan.cluster.kubeadm_plan }}"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    error:
      description: Why nothing may be done; empty else.
      type: str
    leaders:
      description: Hosts with a healthy API server, best first.
      type: list
      elements: str
    init_host:
      description: The host that starts the cluster; empty when there is one.
      type: str
    actions:
      description: What each host does, V(nothing), V(init), V(resume_init) or V(join).
      type: dict
"""

from typing import Any

from ..module_utils._kubeadm.planner import plan_control_plane


def kubeadm_plan(states: dict[str, Any], adopt: bool = False, check_mode: bool = False) -> dict[str, Any]:
    return plan_control_plane(states, adopt=adopt, check_mode=check_mode)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"kubeadm_plan": kubeadm_plan}
