#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_node
short_description: Declare a node to its cluster, with its labels and taints
version_added: 0.1.0
description:
  - Runs on a control-plane host with a healthy API server, with that host's own C(admin.conf).
  - Records the node's addresses, labels and taints in the ConfigMap C(kube-system/caravan-nodes). The approver of
    kubelet serving certificates signs for no other address.
  - Sets labels and taints that differ. Removes only those that were declared earlier; others may belong to somebody
    else.
author:
  - Caravan contributors (@caravan-cluster)
options:
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
    default: {}
  taints:
    description: Its taints, each with C(key), C(value) and C(effect).
    type: list
    elements: dict
    default: []
  timeout:
    description: How long to wait, in seconds, for the node to register itself.
    type: int
    default: 60
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
"""

EXAMPLES = r"""
- name: Declare the worker
  caravan.cluster.kubeadm_node:
    name: worker1
    addresses: [192.0.2.21]
    labels: {node-role.kubernetes.io/worker: ""}
    node_address: 192.0.2.11
  delegate_to: cp1
"""

RETURN = r"""
plan:
  description: What differed.
  type: dict
  returned: success
  sample: {labels: {node-role.kubernetes.io/worker: ""}, taints: null, declare: true}
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import api, arguments, nodes
from ..module_utils._kubeadm.errors import KubeadmError

DECLARED = f"/api/v1/namespaces/{nodes.DECLARED_NAMESPACE}/configmaps"


def argument_spec() -> dict:
    return {
        **arguments.API,
        "name": {"type": "str", "required": True},
        "addresses": {"type": "list", "elements": "str", "required": True},
        "labels": {"type": "dict", "default": {}},
        "taints": {"type": "list", "elements": "dict", "default": []},
        "timeout": {"type": "int", "default": 60},
    }


def declare(client: api.Api, name: str, wanted: str) -> None:
    """Write one node's entry; other entries are not read or written, so many hosts may do this at once."""
    entry = {"data": {name: wanted}}
    path = DECLARED + "/" + nodes.DECLARED_NAME
    try:
        client.request("PATCH", path, entry, api.MERGE_PATCH)
    except api.ApiError as error:
        if error.status != 404:
            raise
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": nodes.DECLARED_NAME}, **entry}
        try:
            client.request("POST", DECLARED, document)
        except api.ApiError as conflict:
            if conflict.status != 409:
                raise
            client.request("PATCH", path, entry, api.MERGE_PATCH)


def read(client: api.Api, name: str) -> dict:
    """Return {node, labels, taints, version} of the Node; node is None when there is none."""
    item = client.get_or_none("/api/v1/nodes/" + name)
    if item is None:
        return {"node": None, "version": ""}
    node = {"labels": item["metadata"].get("labels") or {}, "taints": item["spec"].get("taints") or []}
    return {"node": node, "version": item["metadata"]["resourceVersion"]}


def apply(client: api.Api, name: str, wanted: str, declared: str | None, timeout: int) -> None:
    """Set what differs. The node's version goes along, so that a change by somebody else in between is not lost."""
    deadline = time.monotonic() + timeout
    while True:
        current = read(client, name)
        if current["node"] is not None:
            plan = nodes.plan_node(current["node"], declared, wanted)
            patch: dict = {"metadata": {"resourceVersion": current["version"], "labels": plan["labels"]}}
            if plan["taints"] is not None:
                patch["spec"] = {"taints": plan["taints"]}
            if not plan["labels"] and plan["taints"] is None:
                return
            try:
                client.request("PATCH", "/api/v1/nodes/" + name, patch, api.MERGE_PATCH)
                return
            except api.ApiError as error:
                if error.status != 409:
                    raise
        if time.monotonic() >= deadline:
            raise KubeadmError(
                f"The node {name} did not register itself within {timeout} s. See journalctl -u kubelet on it."
            )
        time.sleep(0.2)


def run(module: AnsibleModule) -> dict:
    params = module.params
    name = params["name"]
    wanted = nodes.declaration(params["addresses"], params["labels"], params["taints"])
    client = arguments.client_of(params)
    entries = (client.get_or_none(DECLARED + "/" + nodes.DECLARED_NAME) or {}).get("data") or {}
    declared = entries.get(name)
    before = read(client, name)["node"]
    plan = nodes.plan_node(before, declared, wanted)
    changed = before is None or not nodes.in_order(plan)
    if changed and not module.check_mode:
        # Labels first: if this is cut off between the two, the old declaration still tells what is ours to remove.
        apply(client, name, wanted, declared, params["timeout"])
        if plan["declare"]:
            declare(client, name, wanted)
    return {
        "changed": changed,
        "plan": plan,
        "diff": {"before": (declared or "") + "\n", "after": wanted + "\n"} if changed else {},
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
