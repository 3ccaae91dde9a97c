#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cluster_ready: waits until a cluster's nodes and named workloads are ready."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_ready
short_description: Wait until a cluster's nodes and named workloads are ready
version_added: 0.1.0
description:
  - Looks at the cluster's API until the named nodes are C(Ready), every named DaemonSet has a C(Ready) pod of its
    newest template on each of these nodes, and every named Deployment is C(Available) at its newest generation.
  - Nodes that are not named are left out, so that a dead machine does not stop the work on the others.
  - It changes nothing. In check mode it looks once, does not wait and does not fail.
options:
  kubeconfig:
    description: Path of the kubeconfig on the host the module runs on.
    type: path
    required: true
  context:
    description: The kubeconfig's context; its current one where left out.
    type: str
  nodes:
    description: Names of the nodes that have to be ready. Where empty, all that are registered.
    type: list
    elements: str
    default: []
  initialized:
    description:
      - Of nodes, wait only until a cloud controller has seen to them. They need not be C(Ready), which they cannot be
        before there is a pod network.
    type: bool
    default: false
    version_added: 0.3.0
  daemonsets:
    description: DaemonSets that have to run on these nodes.
    type: list
    elements: dict
    default: []
    suboptions: &workload
      namespace:
        description: The namespace.
        type: str
        required: true
      name:
        description: The name.
        type: str
        required: true
  deployments:
    description: Deployments that have to be available.
    type: list
    elements: dict
    default: []
    suboptions: *workload
  workloads:
    description:
      - Workloads of any kind that have to have all their pods C(Ready). Pods are counted, because the status of an
        object that was just restored is that of another time.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
    suboptions:
      kind:
        description: The kind.
        type: str
        choices: [Deployment, StatefulSet, DaemonSet]
        required: true
      namespace:
        description: The namespace.
        type: str
        required: true
      name:
        description: The name.
        type: str
        required: true
  fail:
    description: Whether it is a failure when something is not ready in time. Where not, RV(waiting_for) says what.
    type: bool
    default: true
    version_added: 0.2.0
  timeout:
    description: Seconds after which the module gives up and says what it has seen last.
    type: float
    default: 300
  poll_interval:
    description: Seconds between two looks.
    type: float
    default: 0.5
attributes:
  diff_mode:
    support: none
    details: There is nothing it changes.
extends_documentation_fragment:
  - caravan.cluster.attributes
requirements:
  - kubernetes (Python package) on the host the module runs on
author:
  - Caravan contributors (@caravan-cluster)
"""

EXAMPLES = r"""
- name: Wait for the pod network on the nodes of this run
  caravan.cluster.cluster_ready:
    kubeconfig: "{{ cluster_kubeconfig }}"
    nodes: [cp1, worker1]
    daemonsets:
      - namespace: kube-flannel
        name: kube-flannel
    deployments:
      - namespace: kube-system
        name: coredns
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
ready:
  description: Whether all that was named is ready. Can only be V(false) in check mode, or where O(fail=false).
  type: bool
  returned: success
  sample: true
waiting_for:
  description: What is missing, in words. Empty where all is ready.
  type: list
  elements: str
  returned: success
  sample:
    - "node worker1 is not Ready: container runtime network not ready"
elapsed_seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 4.6
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.client import KubernetesClient
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.errors import ApiUnreachable, KubernetesError
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.readiness import KINDS, Expected, Workload
from ansible_collections.caravan.cluster.plugins.module_utils._k8s.waiter import Waiter, WaitTimeout


def argument_spec() -> dict[str, Any]:
    workload = {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}}
    return {
        "kubeconfig": {"type": "path", "required": True},
        "context": {"type": "str"},
        "nodes": {"type": "list", "elements": "str", "default": []},
        "initialized": {"type": "bool", "default": False},
        "daemonsets": {"type": "list", "elements": "dict", "default": [], "options": workload},
        "deployments": {"type": "list", "elements": "dict", "default": [], "options": workload},
        "workloads": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"kind": {"type": "str", "choices": sorted(KINDS), "required": True}, **workload},
        },
        "fail": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 300},
        "poll_interval": {"type": "float", "default": 0.5},
    }


def look_once(expected: Expected, client: KubernetesClient) -> list[str]:
    try:
        return expected.missing(client)
    except ApiUnreachable as error:
        return [f"the API does not answer: {error}"]


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    parameters = module.params
    expected = Expected(
        nodes=tuple(parameters["nodes"]),
        initialized=parameters["initialized"],
        daemonsets=Workload.from_options(parameters["daemonsets"]),
        deployments=Workload.from_options(parameters["deployments"]),
        workloads=Workload.from_options(parameters["workloads"]),
    )
    try:
        client = KubernetesClient(parameters["kubeconfig"], parameters["context"])
        if module.check_mode:
            missing = look_once(expected, client)
            module.exit_json(changed=False, ready=not missing, waiting_for=missing, elapsed_seconds=0.0)
        waiter = Waiter(timeout=parameters["timeout"], interval=parameters["poll_interval"])
        try:
            elapsed = waiter.wait(lambda: expected.missing(client))
        except WaitTimeout as error:
            if parameters["fail"]:
                raise
            module.exit_json(
                changed=False, ready=False, waiting_for=error.missing, elapsed_seconds=round(error.elapsed, 2)
            )
    except KubernetesError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, ready=True, waiting_for=[], elapsed_seconds=round(elapsed, 2))


if __name__ == "__main__":
    main()
