#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: encryption_scan
short_description: Count under which keys etcd holds objects
version_added: 0.2.0
description:
  - Reads everything Kubernetes has in etcd, straight from etcd, and counts it by the key it is encrypted with. Contents
    are neither decrypted nor returned. Changes nothing.
author:
  - Caravan contributors (@caravan-cluster)
options:
  endpoints:
    description: URLs of etcd's members. The first one that answers is read.
    type: list
    elements: str
    required: true
  ca:
    description: The CA of etcd's servers.
    type: path
    default: /etc/kubernetes/pki/etcd-ca.crt
  cert:
    description: The client certificate.
    type: path
    default: /etc/kubernetes/pki/apiserver-etcd-client.crt
  key:
    description: Its key.
    type: path
    default: /etc/kubernetes/pki/apiserver-etcd-client.key
  only_key:
    description:
      - The name of the only key that may be in use. Anything under another key, or plain though it is one of
        O(encrypted_resources), makes the module fail.
    type: str
    default: ""
  encrypted_resources:
    description: Resources of which none may be stored plain, with O(only_key).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
    details: It changes nothing.
"""

EXAMPLES = r"""
- name: See that no object is under an old key
  caravan.cluster.encryption_scan:
    endpoints: ["https://cp1:2379", "https://cp2:2379"]
    only_key: key-20260901-2
    encrypted_resources: [secrets]
"""

RETURN = r"""
objects:
  description: How many objects there are.
  returned: success
  type: int
  sample: 4120
objects_by_key:
  description: How many objects are under each key, by its name.
  returned: success
  type: dict
  sample: {key-20260901-2: 2048}
resources:
  description: The same by resource.
  returned: success
  type: dict
  sample: {key-20260901-2: {secrets: 2048}}
plain:
  description: How many objects are stored plain, by resource (of custom resources, by their group).
  returned: success
  type: dict
  sample: {configmaps: 312}
elapsed_seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.6
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._encryption.errors import EncryptionError
from ..module_utils._encryption.stored import Reader, left_over, scan


def argument_spec() -> dict:
    return {
        "endpoints": {"type": "list", "elements": "str", "required": True},
        "ca": {"type": "path", "default": "/etc/kubernetes/pki/etcd-ca.crt"},
        "cert": {"type": "path", "default": "/etc/kubernetes/pki/apiserver-etcd-client.crt"},
        "key": {"type": "path", "default": "/etc/kubernetes/pki/apiserver-etcd-client.key", "no_log": False},
        "only_key": {"type": "str", "default": "", "no_log": False},
        "encrypted_resources": {"type": "list", "elements": "str", "default": []},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    began = time.monotonic()
    try:
        stored = scan(Reader(params["endpoints"], params["ca"], params["cert"], params["key"]))
    except EncryptionError as error:
        module.fail_json(msg=str(error))
    found = {
        "objects": stored.objects,
        "objects_by_key": dict(stored.keys),
        "resources": {name: dict(counts) for name, counts in stored.resources.items()},
        "plain": dict(stored.plain),
        "elapsed_seconds": round(time.monotonic() - began, 2),
    }
    wrong = left_over(stored, params["only_key"], params["encrypted_resources"]) if params["only_key"] else ""
    if wrong:
        module.fail_json(msg=f"etcd holds more than what is under {params['only_key']}: {wrong}", **found)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
