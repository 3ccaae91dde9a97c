#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authority_info
short_description: See whom a host trusts, and by whom its certificates were signed
version_added: 0.2.0
description:
  - Reads the certificates of the authorities a host trusts, its own certificates from its disk and from its ports, and
    which components were started before the files they trust were written. Reads no key, and changes nothing.
author:
  - Caravan contributors (@caravan-cluster)
options:
  groups:
    description: The groups of the inventory the host is in.
    type: list
    elements: str
    required: true
  etcd_client_port:
    description: The port of etcd for clients.
    type: int
    default: 2379
  etcd_peer_port:
    description: The port of etcd for its other members.
    type: int
    default: 2380
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Look at the authorities of this host
  caravan.cluster.authority_info:
    groups: "{{ group_names }}"
    node_address: 192.0.2.11
  register: __authority_rotation_seen
"""

RETURN = r"""
problem:
  description: Why authorities cannot be rotated with this host as it is; empty when they can.
  returned: success
  type: str
  sample: ""
bundles:
  description: What is trusted, by path.
  returned: success
  type: dict
  sample: {/etc/kubernetes/pki/ca.crt: "-----BEGIN CERTIFICATE-----..."}
leaves:
  description: The host's certificates; C(what) names the file or the port.
  returned: success
  type: list
  elements: dict
  sample: [{what: "the kubelet's port 10250", path: "", authority: kubernetes, pem: "-----BEGIN CERTIFICATE-----..."}]
stale:
  description: Components that do not use yet what lies on the disk.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._authority.look import look
from ..module_utils._kubeadm import arguments
from ..module_utils._kubeadm.errors import KubeadmError


def argument_spec() -> dict:
    return {
        **arguments.API,
        "groups": {"type": "list", "elements": "str", "required": True},
        "etcd_client_port": {"type": "int", "default": 2379},
        "etcd_peer_port": {"type": "int", "default": 2380},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    ports = {
        "api": params["port"],
        "etcd_client": params["etcd_client_port"],
        "etcd_peer": params["etcd_peer_port"],
    }
    try:
        seen = look(module.run_command, params["groups"], params["node_address"], ports)
    except (KubeadmError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **seen)


if __name__ == "__main__":
    main()
