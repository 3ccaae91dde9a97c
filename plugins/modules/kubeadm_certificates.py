#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_certificates
short_description: Renew a node's certificates and see its components use them
version_added: 0.2.0
description:
  - Renews what kubeadm made on a control-plane node and has less than 30 % of its life left, one certificate after
    another, and sees the component that uses it healthy before it goes on. Use C(throttle) so that only one node is
    worked on at a time.
  - Kubelets renew their certificates themselves. One whose certificate has expired does not start any more. On a
    control-plane node it is given another one for a week; elsewhere, given a token, it asks for one.
  - Needs no API that answers, so it brings back nodes whose certificates expired while they were off.
author:
  - Caravan contributors (@caravan-cluster)
options:
  control_plane:
    description: Whether the host is a control-plane host.
    type: bool
    default: false
  config:
    description: kubeadm's configuration file on the host. Needed on a control-plane host.
    type: path
    default: /etc/kubernetes/caravan/kubeadm.yml
  node_name:
    description: The node's name. Needed to renew on a control-plane node.
    type: str
  renew:
    description: Whether to renew what kubeadm made. Without it, and without O(token), the module only looks.
    type: bool
    default: false
  everything:
    description: Renew also what has more of its life left.
    type: bool
    default: false
  token:
    description: A token with which a kubelet whose certificate has expired may ask for another one.
    type: str
  ca_pem:
    description: The cluster's CA certificate, with O(token).
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
    details: Except with O(everything).
"""

EXAMPLES = r"""
- name: Renew what is about to end, one node after another
  caravan.cluster.kubeadm_certificates:
    control_plane: true
    renew: true
    node_name: cp1
    node_address: 192.0.2.11
  throttle: 1
"""

RETURN = r"""
certificates:
  description: The certificates as they are afterwards; C(reason) says why one has to be renewed still.
  returned: success
  type: dict
  sample: {apiserver: {begins: "2026-08-01T10:00:00Z", ends: "2027-08-01T10:00:00Z", reason: "", renewed_by: kubeadm}}
renewed:
  description: What was renewed (in check mode, would be), and why.
  returned: success
  type: dict
  sample: {scheduler.conf: 21% of its life is left}
kubelet_expired:
  description: Whether the kubelet's certificate has expired, so that it needs a token.
  returned: success
  type: bool
  sample: false
ca_sha256:
  description: The digest of the cluster's CA certificate on this host.
  returned: success
  type: str
  sample: 0c5f...
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import arguments, observe
from ..module_utils._kubeadm.certificates import Renewal, on_host, to_renew
from ..module_utils._kubeadm.errors import KubeadmError
from ..module_utils._kubeadm.steps import locked

KUBELET = "kubelet-client"


def argument_spec() -> dict:
    return {
        **arguments.API,
        "control_plane": {"type": "bool", "default": False},
        "config": {"type": "path", "default": "/etc/kubernetes/caravan/kubeadm.yml"},
        "node_name": {"type": "str"},
        "renew": {"type": "bool", "default": False},
        "everything": {"type": "bool", "default": False},
        "token": {"type": "str", "no_log": True},
        "ca_pem": {"type": "str"},
        "endpoint": {"type": "str"},
        "api_timeout": {"type": "int", "default": 120},
    }


def expired(certificates: dict) -> bool:
    return certificates.get(KUBELET, {}).get("reason") == "expired"


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_by={"token": ("ca_pem", "endpoint")},
        required_if=[("renew", True, ["control_plane", "node_name"])],
        supports_check_mode=True,
    )
    params = module.params
    renewed: dict = {}
    try:
        certificates = on_host(params["control_plane"], params["everything"])
        kinds = to_renew(certificates) if params["renew"] else []
        renewed = {kind.name: certificates[kind.name]["reason"] for kind in kinds}
        certify = params["renew"] and expired(certificates)
        bootstrap = bool(params["token"]) and expired(certificates)
        if certify or bootstrap:
            renewed[KUBELET] = "expired"
        if renewed and not module.check_mode:
            with locked(300):
                renewal = Renewal(module.run_command, params)
                if certify:
                    renewal.certify_kubelet()
                renewal.renew(kinds)
                if bootstrap:
                    renewal.bootstrap_kubelet()
            certificates = on_host(params["control_plane"], False)
    except (KubeadmError, OSError) as error:
        module.fail_json(msg=str(error), renewed=renewed)
    module.exit_json(
        changed=bool(renewed),
        certificates=certificates,
        renewed=renewed,
        kubelet_expired=expired(certificates),
        ca_sha256=observe.ca_sha256(),
    )


if __name__ == "__main__":
    main()
