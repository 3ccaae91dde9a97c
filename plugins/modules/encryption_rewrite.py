#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: encryption_rewrite
short_description: Have all objects of some resources written again, under the first key
version_added: 0.2.0
description:
  - Asks the API server of this host to write every object of the resources again, page by page and several at a time.
    Objects that are under its first key already are left alone. Contents are neither asked for nor changed.
  - The controller calls it in slices of a few seconds and tells how far it is.
author:
  - Caravan contributors (@caravan-cluster)
options:
  resources:
    description: Resources as an encryption configuration names them, C(secrets), C(deployments.apps), C(*.*).
    type: list
    elements: str
    required: true
  parallel:
    description: How many objects are written at a time.
    type: int
    default: 4
  page:
    description: How many names are listed at a time.
    type: int
    default: 250
  slice_seconds:
    description: How long one call works before it tells how far it is.
    type: int
    default: 10
  cursor:
    description: Where to go on. Set by the controller.
    type: dict
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: Reports a change whenever there are objects; which ones were written in truth is the API server's decision.
"""

EXAMPLES = r"""
- name: Write all Secrets again
  caravan.cluster.encryption_rewrite:
    resources: [secrets]
    node_address: 192.0.2.11
"""

RETURN = r"""
cursor:
  description: How far it is; C(written) counts the objects that were asked for, C(refused) says which failed and why.
  returned: success
  type: dict
  sample: {path: /api/v1/secrets, token: "", written: 2048, done: true, refused: {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._encryption.errors import EncryptionError
from ..module_utils._encryption.loaded import client
from ..module_utils._encryption.rewrite import Cursor, Rewriter
from ..module_utils._kubeadm import arguments
from ..module_utils._kubeadm.errors import KubeadmError


def argument_spec() -> dict:
    return {
        "resources": {"type": "list", "elements": "str", "required": True},
        **arguments.API,
        "parallel": {"type": "int", "default": 4},
        "page": {"type": "int", "default": 250},
        "slice_seconds": {"type": "int", "default": 10},
        # It has the page's token, which is no secret.
        "cursor": {"type": "dict", "no_log": False},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    cursor = Cursor(**(params["cursor"] or {}))
    if module.check_mode:
        cursor.done = True
        module.exit_json(changed=True, cursor=cursor.plain())
    rewriter = Rewriter(
        lambda: client(params["node_address"], params["port"]), int(params["parallel"]), int(params["page"])
    )
    try:
        cursor = rewriter.run(params["resources"], cursor, float(params["slice_seconds"]))
    except (EncryptionError, KubeadmError, OSError) as error:
        module.fail_json(msg=str(error), cursor=cursor.plain())
    module.exit_json(changed=cursor.written > 0, cursor=cursor.plain())


if __name__ == "__main__":
    main()
