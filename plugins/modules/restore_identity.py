#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_identity
short_description: Give a host the cluster's identity out of a backup
version_added: 0.2.0
description:
  - O(state=key) makes a key for this one restore, in memory, to which the identity bundle and the snapshot are sealed
    on their way. O(state=placed) opens the bundle with it and writes the files the host lacks. O(state=absent) removes
    the key and what was sealed to it.
  - A file with other contents is never overwritten.
author:
  - Caravan contributors (@caravan-cluster)
options:
  state:
    description: What to do.
    type: str
    choices: [key, placed, absent]
    default: placed
  work:
    description: A directory in memory (tmpfs), for a restore alone.
    type: path
    default: /run/caravan-restore
  sealed:
    description: >-
      A directory for the snapshot sealed to that key, for a restore alone. It may be on a disk: it needs the room, and
      nobody can read it without the key.
    type: path
    default: /var/lib/caravan/restore
  parts:
    description: The parts the host has in the cluster.
    type: list
    elements: str
    choices: [etcd, control_plane]
    default: []
  replace_encryption:
    description:
      - Whether secrets-encryption keys that differ are moved aside and replaced. A cluster that is rolled back behind a
        rotation of these keys needs those of the backup.
    type: bool
    default: false
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Place the cluster's identity
  caravan.cluster.restore_identity:
    parts: [etcd, control_plane]
"""

RETURN = r"""
recipient:
  description: The public half of the key.
  returned: when O(state=key)
  type: str
  sample: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
paths:
  description: The files that were written.
  returned: when O(state=placed)
  type: list
  elements: str
  sample: [/etc/kubernetes/pki/ca.key]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup.errors import BackupError
from ..module_utils._restore import host


def argument_spec() -> dict:
    return {
        "state": {"type": "str", "choices": ["key", "placed", "absent"], "default": "placed"},
        "work": {"type": "path", "default": "/run/caravan-restore"},
        "sealed": {"type": "path", "default": "/var/lib/caravan/restore"},
        "parts": {"type": "list", "elements": "str", "choices": ["etcd", "control_plane"], "default": []},
        "replace_encryption": {"type": "bool", "default": False},
    }


def run(params: dict, check_mode: bool) -> dict:
    work, sealed = Path(params["work"]), Path(params["sealed"])
    if params["state"] == "key":
        return {"changed": True, "recipient": "" if check_mode else host.make_key(work, sealed)}
    if params["state"] == "absent":
        there = work.exists() or sealed.exists()
        if not check_mode:
            host.remove_key(work, sealed)
        return {"changed": there}
    paths = host.place_identity(work, params["parts"], params["replace_encryption"], check_mode)
    return {"changed": bool(paths), "paths": paths}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module.params, module.check_mode)
    except (BackupError, OSError) as error:
        module.fail_json(msg=f"identity: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
