#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: encryption_info
short_description: Read a host's keys for encryption at rest, and what its API server uses
version_added: 0.2.0
description:
  - Reads the configuration for encryption at rest on a control-plane host, asks the host's own API server which
    configuration it uses, and says why keys could not be rotated with this host as it is. Changes nothing.
  - The result contains keys. Use C(no_log=true).
author:
  - Caravan contributors (@caravan-cluster)
options:
  path:
    description: The configuration.
    type: path
    default: /etc/kubernetes/encryption.yml
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
    details: It changes nothing.
"""

EXAMPLES = r"""
- name: Look at the keys of this host
  caravan.cluster.encryption_info:
    node_address: 192.0.2.11
  register: __key_rotation_seen
  no_log: true
"""

RETURN = r"""
content:
  description: The configuration. Secret.
  returned: success
  type: str
  sample: ""
sha256:
  description: Its digest.
  returned: success
  type: str
  sample: 0c5f...
loaded_sha256:
  description: The digest of what the API server uses; empty when it does not tell.
  returned: success
  type: str
  sample: 0c5f...
problem:
  description: Why keys cannot be rotated with this host; empty when they can.
  returned: success
  type: str
  sample: ""
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._encryption.loaded import digest, problem
from ..module_utils._kubeadm import arguments


def argument_spec() -> dict:
    return {
        "path": {"type": "path", "default": "/etc/kubernetes/encryption.yml"},
        **arguments.API,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        content = Path(params["path"]).read_bytes()
        found, loaded = problem(params["path"], params["node_address"], params["port"])
    except OSError as error:
        module.exit_json(changed=False, content="", sha256="", loaded_sha256="", problem=str(error))
    module.exit_json(
        changed=False, content=content.decode(), sha256=digest(content), loaded_sha256=loaded, problem=found
    )


if __name__ == "__main__":
    main()
