# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: node_in_order
short_description: Say whether a node has the labels, taints and addresses of the inventory
version_added: 0.1.0
description:
  - Takes what M(caravan.cluster.kubeadm_info) saw on a control-plane host, so that the cluster is asked only about
    nodes that have to be changed.
author:
  - Caravan contributors (@caravan-cluster)
positional: _input, name
options:
  _input:
    description: The state of a control-plane host with a healthy API server.
    type: dict
    required: true
  name:
    description: The name of the node.
    type: str
    required: true
  addresses:
    description: Its IP addresses, and the DNS names that a cloud controller gives it.
    type: list
    elements: str
    required: true
  labels:
    description: Its labels.
    type: dict
    required: true
  taints:
    description: Its taints.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show whether worker1 is in order
  ansible.builtin.debug:
    msg: "{{ state | caravan.cluster.node_in_order('worker1', addresses=['192.0.2.21'], labels={}, taints=[]) }}"
"""

RETURN = r"""
_value:
  description: Whether it is.
  type: bool
"""

from typing import Any

from ..module_utils._kubeadm import nodes


def node_in_order(
    state: dict[str, Any], name: str, addresses: list[str], labels: dict[str, str], taints: list[dict[str, Any]]
) -> bool:
    node = (state.get("nodes") or {}).get(name)
    if node is None:
        return False
    wanted = nodes.declaration(addresses, labels, taints)
    return nodes.in_order(nodes.plan_node(node, (state.get("declared") or {}).get(name), wanted))


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"node_in_order": node_in_order}
