#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_user
short_description: Write a kubeconfig with a client certificate of its own
version_added: 0.1.0
description:
  - Runs on a control-plane host, which holds the cluster's CA. Makes the certificate with C(kubeadm kubeconfig user).
  - A certificate of which less than O(renew_before) is left, or of another CA, is replaced.
author:
  - Caravan contributors (@caravan-cluster)
options:
  name:
    description: The user name, the certificate's common name.
    type: str
    required: true
  path:
    description: Where the kubeconfig is written, mode 0600.
    type: path
    required: true
  config:
    description: kubeadm's configuration file on the host.
    type: path
    required: true
  validity_hours:
    description: How long the certificate is valid.
    type: int
    default: 8760
  renew_before:
    description: How much of it must be left, in hours.
    type: int
    default: 2880
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Give the approver its credentials
  caravan.cluster.kubeadm_user:
    name: caravan:csr-approver
    path: /etc/kubernetes/caravan/csr-approver.conf
    config: /etc/kubernetes/caravan/kubeadm.yml
"""

RETURN = r"""
reason:
  description: Why it was written; empty when it was not.
  type: str
  returned: success
  sample: there is none
"""

import datetime
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm import observe
from ..module_utils._kubeadm.errors import KubeadmError
from ..module_utils._kubeadm.user_file import UserFile
from ..module_utils._kubeadm.users import reason_to_write


def argument_spec() -> dict:
    return {
        "name": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
        "config": {"type": "path", "required": True},
        "validity_hours": {"type": "int", "default": 8760},
        "renew_before": {"type": "int", "default": 2880},
    }


def run(module: AnsibleModule) -> str:
    params = module.params
    path = Path(params["path"])
    text = path.read_text() if path.exists() else ""
    left = datetime.timedelta(hours=params["renew_before"])
    reason = reason_to_write(text, observe.ca_sha256(), datetime.datetime.now(datetime.timezone.utc), left)
    if reason and not module.check_mode:
        UserFile(module.run_command, params).write_user_file(params["name"], path, params["validity_hours"])
    return reason


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        reason = run(module)
    except (KubeadmError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(reason), reason=reason)


if __name__ == "__main__":
    main()
