#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_info
short_description: Read what a host is to its Kubernetes cluster
version_added: 0.1.0
description:
  - Reads files and services of the host and, on a control-plane host, asks its own API server and etcd.
  - This is all that is needed to decide who leads, who starts the cluster and who joins, see the filter
    P(caravan.cluster.kubeadm_plan#filter). Changes nothing.
author:
  - Caravan contributors (@caravan-cluster)
options:
  control_plane:
    description: Whether the host is a control-plane host.
    type: bool
    default: false
  config_files:
    description: What the static pods are made from; a difference to the last application is reported as drift.
    type: list
    elements: path
    default: []
  objects:
    description: Objects of the API that must be there; the missing or different ones are reported.
    type: list
    elements: dict
    default: []
  units:
    description: Further systemd units to report on, each with the files it must not be older than.
    type: dict
    default: {}
  credentials:
    description: Paths of kubeconfigs to report on, each with the hours that must be left of its certificate.
    type: dict
    default: {}
  api_timeout:
    description: How long to wait, in seconds, for the API server of a host that is a complete part of the cluster.
    type: int
    default: 60
  etcd:
    description: How to reach etcd.
    type: dict
    suboptions:
      endpoints:
        description: URLs of the members.
        type: list
        elements: str
        required: true
      ca:
        description: The CA of etcd's servers.
        type: path
        required: true
      cert:
        description: The client certificate.
        type: path
        required: true
      key:
        description: Its key.
        type: path
        required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
    details: It changes nothing.
"""

EXAMPLES = r"""
- name: See what this worker is
  caravan.cluster.kubeadm_info:
    node_address: 192.0.2.21
  register: state
"""

RETURN = r"""
state:
  description: What was seen.
  type: dict
  returned: success
  contains:
    complete:
      description: Whether the host is a complete part of the cluster.
      type: bool
      sample: true
    started:
      description: What kubeadm was started to do and was not seen to end, V(init) or V(join); empty else.
      type: str
      sample: ""
    api_healthy:
      description: Whether the host's own API server is ready and answers an administrator.
      type: bool
      sample: true
    etcd_keys:
      description: How many keys Kubernetes has in etcd; asked only where no cluster is known.
      type: int
      sample: 0
    nodes:
      description: Labels and taints of the cluster's nodes, by name, where the API answers.
      type: dict
      sample: {worker1: {labels: {}, taints: []}}
    tokens:
      description: Names of the Secrets of tokens that a run which did not end has left.
      type: list
      elements: str
      sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import arguments
from ..module_utils._kubeadm.observe import observe


def argument_spec() -> dict:
    return {
        **arguments.API,
        "control_plane": {"type": "bool", "default": False},
        "config_files": {"type": "list", "elements": "path", "default": []},
        "objects": {"type": "list", "elements": "dict", "default": []},
        "units": {"type": "dict", "default": {}},
        "credentials": {"type": "dict", "default": {}, "no_log": False},
        "api_timeout": {"type": "int", "default": 60},
        "etcd": {
            "type": "dict",
            "options": {
                "endpoints": {"type": "list", "elements": "str", "required": True},
                "ca": {"type": "path", "required": True},
                "cert": {"type": "path", "required": True},
                "key": {"type": "path", "required": True, "no_log": False},
            },
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(), required_if=[("control_plane", True, ["etcd"])], supports_check_mode=True
    )
    try:
        state = observe(module.run_command, module.params)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, state=state)


if __name__ == "__main__":
    main()
