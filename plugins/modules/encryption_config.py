#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: encryption_config
short_description: Give an API server another configuration for encryption at rest, and see it used
version_added: 0.2.0
description:
  - Replaces the configuration in one step, if it still is the one that was looked at, and returns when the API server
    of this host says that it uses the new one. It looks for a new one every minute, and is not restarted.
author:
  - Caravan contributors (@caravan-cluster)
options:
  path:
    description: The configuration.
    type: path
    default: /etc/kubernetes/encryption.yml
  content:
    description: What is to be in it.
    type: str
    required: true
  replaces:
    description: The digest of what may be replaced. Anything else that is found there is left alone, and a failure.
    type: str
    required: true
  timeout:
    description: How long to wait, in seconds, for the API server.
    type: int
    default: 180
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.kubeadm
attributes:
  diff_mode:
    support: none
    details: It would show keys.
"""

EXAMPLES = r"""
- name: Let every API server read what is under the new key
  caravan.cluster.encryption_config:
    content: "{{ __key_rotation_target.add.content }}"
    replaces: "{{ __key_rotation_target.add.replaces }}"
    node_address: 192.0.2.11
"""

RETURN = r"""
waited_seconds:
  description: How long it took the API server to use it.
  returned: when not in check mode
  type: float
  sample: 31.0
"""

import fcntl
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._encryption.errors import EncryptionError
from ..module_utils._encryption.loaded import client, digest, metrics_of, wait_loaded
from ..module_utils._kubeadm import arguments
from ..module_utils._kubeadm.errors import KubeadmError
from ..module_utils._kubeadm.steps import write_file

LOCK = "/run/caravan-encryption.lock"


def argument_spec() -> dict:
    return {
        "path": {"type": "path", "default": "/etc/kubernetes/encryption.yml"},
        "content": {"type": "str", "required": True, "no_log": True},
        "replaces": {"type": "str", "required": True},
        **arguments.API,
        "timeout": {"type": "int", "default": 180},
    }


def replace(path: Path, content: str, replaces: str, check_mode: bool) -> bool:
    """Write the configuration unless it is there; return whether it was (or would be) changed."""
    wanted = digest(content.encode())
    if check_mode:
        # The steps before this one were not done.
        return wanted != replaces
    with Path(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = digest(path.read_bytes())
        if seen == wanted:
            return False
        if seen != replaces:
            raise EncryptionError(
                f"{path} is not what was looked at (seen {seen[:12]}, wanted {replaces[:12]}): is another rotation "
                "running? Nothing was written."
            )
        write_file(path, content)
    return True


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    content = params["content"]
    try:
        changed = replace(Path(params["path"]), content, params["replaces"], module.check_mode)
        if module.check_mode:
            module.exit_json(changed=changed)
        api = client(params["node_address"], params["port"])
        waited = wait_loaded(digest(content.encode()), lambda: metrics_of(api), float(params["timeout"]))
    except (EncryptionError, KubeadmError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, waited_seconds=round(waited, 1))


if __name__ == "__main__":
    main()
