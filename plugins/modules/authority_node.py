#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authority_node
short_description: Have a node's components use their authorities as they lie on the disk
version_added: 0.2.0
description:
  - Writes the trusted certificates into the node's kubeconfigs, has certificates issued again, and starts anew what
    still uses former files, one component after another, each seen healthy before the next. Use C(throttle) so that
    only one node is worked on at a time.
  - An API server is ended only while all others serve.
author:
  - Caravan contributors (@caravan-cluster)
options:
  groups:
    description: The groups of the inventory the host is in.
    type: list
    elements: str
    required: true
  peers:
    description: The addresses of the other control-plane nodes.
    type: list
    elements: str
    default: []
  sign:
    description: >-
      What kubeadm has to issue again on a control-plane node, by its names. Nothing else is done then but what these
      need.
    type: list
    elements: str
    default: []
  config:
    description: kubeadm's configuration file on a control-plane host.
    type: path
    default: /etc/kubernetes/caravan/kubeadm.yml
  token:
    description: >-
      A token with which the kubelet asks for its certificates again. Nothing else is done then.
    type: str
  endpoint:
    description: The name of the cluster's API, with O(token).
    type: str
  api_timeout:
    description: How long to wait, in seconds, for each component.
    type: int
    default: 120
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
  idempotent:
    support: full
    details: Except with O(sign) and O(token).
"""

EXAMPLES = r"""
- name: Have everything trust the old and the new authorities, one node after another
  caravan.cluster.authority_node:
    groups: "{{ group_names }}"
    peers: [192.0.2.12, 192.0.2.13]
    node_address: 192.0.2.11
  throttle: 1
"""

RETURN = r"""
kubeconfigs:
  description: The kubeconfigs that were given other authorities to trust.
  returned: success
  type: list
  elements: str
  sample: [/etc/kubernetes/scheduler.conf]
components:
  description: What was (in check mode, would be) started anew.
  returned: success
  type: list
  elements: str
  sample: [kube-apiserver, kube-scheduler, kubelet]
signed:
  description: What was issued again.
  returned: success
  type: list
  elements: str
  sample: [apiserver]
ca_sha256:
  description: The digest of the file with the cluster's authorities.
  returned: success
  type: str
  sample: 0c5f...
elapsed_seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 7.1
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._authority.node import Node, kubelet_is_whole
from ..module_utils._kubeadm import arguments, observe
from ..module_utils._kubeadm.errors import KubeadmError
from ..module_utils._kubeadm.steps import locked


def argument_spec() -> dict:
    return {
        **arguments.API,
        "groups": {"type": "list", "elements": "str", "required": True},
        "peers": {"type": "list", "elements": "str", "default": []},
        "sign": {"type": "list", "elements": "str", "default": []},
        "config": {"type": "path", "default": "/etc/kubernetes/caravan/kubeadm.yml"},
        "token": {"type": "str", "no_log": True},
        "endpoint": {"type": "str"},
        "api_timeout": {"type": "int", "default": 120},
    }


def run(module: AnsibleModule) -> dict:
    """Do one of the three: have certificates issued, have the kubelet ask for its own, have everything reloaded."""
    params = module.params
    node = Node(module.run_command, {**params, "ca_pem": observe.ca_pem()})
    result: dict = {"changed": True, "kubeconfigs": [], "components": [], "signed": []}
    if params["token"]:
        kubelet_is_whole()
        result["components"] = ["kubelet"]
        if not module.check_mode:
            with locked(300):
                node.ask_again()
    elif params["sign"]:
        result["signed"] = params["sign"]
        if not module.check_mode:
            with locked(300):
                node.sign(params["sign"])
    else:
        result["kubeconfigs"], result["components"] = node.to_reload(params["groups"])
        result["changed"] = bool(result["kubeconfigs"] or result["components"])
        if result["changed"] and not module.check_mode:
            with locked(300):
                node.reload(result["kubeconfigs"], result["components"])
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_by={"token": ("endpoint",)},
        mutually_exclusive=[("token", "sign")],
        supports_check_mode=True,
    )
    began = time.monotonic()
    try:
        result = run(module)
    except (KubeadmError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(ca_sha256=observe.ca_sha256(), elapsed_seconds=round(time.monotonic() - began, 1), **result)


if __name__ == "__main__":
    main()
