#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authority_published
short_description: Have pods and joining machines trust what this control-plane node trusts
version_added: 0.2.0
description:
  - Waits until the cluster's objects name exactly the authorities that lie on this control-plane host, and writes what
    no component keeps up by itself. The objects are C(kube-root-ca.crt) of every namespace, C(cluster-info), and
    C(extension-apiserver-authentication).
  - Then starts anew, rolling, the workloads whose pods were started before, since most programs read whom to trust when
    they start.
author:
  - Caravan contributors (@caravan-cluster)
options:
  write:
    description: Without it, the module only looks.
    type: bool
    default: true
  restart:
    description: >-
      Which workloads are started anew. C(system) takes those of the namespace C(kube-system) only.
    type: str
    choices: [all, system, none]
    default: none
  timeout:
    description: How long to wait, in seconds, for the objects, and for all workloads.
    type: int
    default: 600
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Have pods trust the old and the new authorities
  caravan.cluster.authority_published:
    restart: all
    node_address: 192.0.2.11
"""

RETURN = r"""
differs:
  description: Which objects named other authorities before.
  returned: success
  type: list
  elements: str
  sample: [kube-system/kube-root-ca.crt]
certificates:
  description: The certificates that they named before, by authority.
  returned: success
  type: dict
  sample: {kubernetes: ["-----BEGIN CERTIFICATE-----..."], front_proxy: ["-----BEGIN CERTIFICATE-----..."]}
restarted:
  description: The workloads that were started anew.
  returned: success
  type: list
  elements: str
  sample: [Deployment kube-system/coredns]
left:
  description: Pods and workloads that were started before, and were left as they are.
  returned: success
  type: list
  elements: str
  sample: [default/bare-pod]
"""

import hashlib
import time
from pathlib import Path
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._authority import catalogue, published, workloads
from ..module_utils._authority.errors import AuthorityError
from ..module_utils._kubeadm import arguments, observe
from ..module_utils._kubeadm.api import MERGE_PATCH, Api
from ..module_utils._kubeadm.errors import KubeadmError


def argument_spec() -> dict:
    return {
        **arguments.API,
        "write": {"type": "bool", "default": True},
        "restart": {"type": "str", "choices": ["all", "system", "none"], "default": "none"},
        "timeout": {"type": "int", "default": 600},
    }


def wait(what: str, seen: Callable[[], Any], timeout: float) -> None:
    """Poll until nothing is seen that still has to come."""
    deadline = time.monotonic() + timeout
    while True:
        left = seen()
        if not left:
            return
        if time.monotonic() >= deadline:
            raise AuthorityError(f"{what}: not within {timeout:g} s; seen last: {left}. Run again when it is in order.")
        time.sleep(1)


def outdated(client: Api, digest: str, scope: str) -> tuple[list[workloads.Workload], list[str]]:
    """Return (workloads to be started anew, pods that are left)."""
    pods = client.request("GET", "/api/v1/pods")["items"]
    replicasets = client.request("GET", "/apis/apps/v1/replicasets")["items"]
    found, left = workloads.to_restart(pods, replicasets, digest)
    taken = [one for one in found if scope == "all" or (scope == "system" and one.namespace == "kube-system")]
    return taken, left + [str(one) for one in found if one not in taken]


def waiting(client: Api, taken: list[workloads.Workload]) -> list[str]:
    """Return what the roll-outs wait for."""
    told = []
    for one in taken:
        item = client.get_or_none(one.path)
        reason = workloads.awaited({**item, "kind": one.kind}) if item else ""
        if reason:
            told.append(f"{one}: {reason}")
    return told


def run(module: AnsibleModule) -> dict:
    params = module.params
    client = arguments.client_of(params)
    bundle, front_proxy = observe.ca_pem(), Path(catalogue.FRONT_PROXY_CA).read_text()
    # The order of the certificates changes on the way.
    digest = hashlib.sha256(" ".join(published.fingerprints(bundle)).encode()).hexdigest()[:16]
    differs, certificates = published.look(client, bundle, front_proxy)
    taken, left = ([], []) if params["restart"] == "none" else outdated(client, digest, params["restart"])
    result = {
        "changed": params["write"] and bool(differs or taken),
        "differs": differs,
        "certificates": certificates,
        "restarted": [str(one) for one in taken],
        "left": left,
    }
    if not params["write"] or module.check_mode:
        return result

    def publish() -> list[str]:
        published.publish(client, bundle, front_proxy)
        return published.look(client, bundle, front_proxy)[0]

    wait("objects that say whom to trust", publish, float(params["timeout"]))
    for one in taken:
        client.request("PATCH", one.path, workloads.template_patch(digest), MERGE_PATCH)
    wait("workloads started anew", lambda: waiting(client, taken), float(params["timeout"]))
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module)
    except (AuthorityError, KubeadmError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
