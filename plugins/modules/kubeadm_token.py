#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_token
short_description: Make or remove the short-lived token with which hosts join
version_added: 0.1.0
description:
  - Runs on a control-plane host with a healthy API server, with that host's own C(admin.conf).
  - A token is never an argument of a command, and the result must not be logged (C(no_log)).
author:
  - Caravan contributors (@caravan-cluster)
options:
  state:
    description:
      - V(present) makes a new token. V(absent) removes every token that this module made.
    type: str
    choices: [present, absent]
    default: present
  ttl:
    description: How long the token is valid, in seconds.
    type: int
    default: 600
  replaced_nodes:
    description:
      - Names of nodes that are about to join. An old Node object of that name, left by a machine that was wiped, is
        removed, because kubeadm refuses to join under the name of a node that still counts as ready.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each call with O(state=present) makes a new token.
"""

EXAMPLES = r"""
- name: Make a token
  caravan.cluster.kubeadm_token:
    node_address: 192.0.2.11
  delegate_to: cp1
  register: ticket
  no_log: true
"""

RETURN = r"""
token:
  description: The token. A secret.
  type: str
  returned: when O(state=present)
  sample: abcdef.0123456789abcdef
ca_pem:
  description: The cluster's CA certificate.
  type: str
  returned: when O(state=present)
  sample: "-----BEGIN CERTIFICATE-----..."
removed_nodes:
  description: Old Node objects that were removed.
  type: list
  elements: str
  returned: when O(state=present)
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import arguments, observe, tokens
from ..module_utils._kubeadm.errors import KubeadmError


def argument_spec() -> dict:
    return {
        **arguments.API,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "ttl": {"type": "int", "default": 600, "no_log": False},
        "replaced_nodes": {"type": "list", "elements": "str", "default": []},
    }


def run(module: AnsibleModule) -> dict:
    params = module.params
    if module.check_mode:
        return {"changed": True, "token": "checkm.0000000000000000", "ca_pem": observe.ca_pem(), "removed_nodes": []}
    client = arguments.client_of(params)
    if params["state"] == "absent":
        return {"changed": tokens.remove_all(client) > 0}
    removed = []
    for name in params["replaced_nodes"]:
        if client.get_or_none("/api/v1/nodes/" + name) is not None:
            client.request("DELETE", "/api/v1/nodes/" + name)
            removed.append(name)
    return {
        "changed": True,
        "token": tokens.create(client, params["ttl"]),
        "ca_pem": observe.ca_pem(),
        "removed_nodes": removed,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module)
    except (KubeadmError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
