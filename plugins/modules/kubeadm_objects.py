#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_objects
short_description: Apply a few objects of Caravan's own to the cluster
version_added: 0.1.0
description:
  - Runs on a control-plane host with a healthy API server, with that host's own C(admin.conf), before anything on the
    controller can reach the API. Server-side apply; the fields that others own stay theirs.
author:
  - Caravan contributors (@caravan-cluster)
options:
  objects:
    description: Roles, bindings, config maps and namespaces, as in a manifest.
    type: list
    elements: dict
    required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Give the approver its rights
  caravan.cluster.kubeadm_objects:
    objects: "{{ lookup('ansible.builtin.file', 'rbac.yml') | from_yaml_all }}"
    node_address: 192.0.2.11
"""

RETURN = r"""
applied:
  description: What differed and was applied.
  type: list
  elements: str
  returned: success
  sample: [ClusterRole/caravan:csr-approver]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import api, arguments
from ..module_utils._kubeadm.errors import KubeadmError


def argument_spec() -> dict:
    return {
        **arguments.API,
        "objects": {"type": "list", "elements": "dict", "required": True},
    }


def run(module: AnsibleModule) -> list:
    params = module.params
    client = arguments.client_of(params)
    applied = []
    for item in params["objects"]:
        path = api.object_path(item)
        if api.contains(client.get_or_none(path), item):
            continue
        applied.append("{}/{}".format(item["kind"], item["metadata"]["name"]))
        if not module.check_mode:
            query = f"fieldManager={api.FIELD_MANAGER}&force=true"
            client.request("PATCH", path, item, api.APPLY_PATCH, query)
    return applied


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        applied = run(module)
    except (KubeadmError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(applied), applied=applied)


if __name__ == "__main__":
    main()
