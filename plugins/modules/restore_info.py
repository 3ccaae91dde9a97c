#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_info
short_description: See what a host holds of a cluster, and of a restore
version_added: 0.2.0
description:
  - Reads which cluster a host belongs to, whether it holds data of etcd, and how far a restore on it has come. Changes
    nothing.
author:
  - Caravan contributors (@caravan-cluster)
options:
  data_dir:
    description: The data directory of etcd.
    type: path
    default: /var/lib/etcd
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Look at the machine
  caravan.cluster.restore_info:
  register: __restore_seen
"""

RETURN = r"""
seen:
  description: What was seen.
  returned: always
  type: dict
  contains:
    cluster:
      description: The name of the cluster the host is a complete node of; empty for none.
      type: str
      sample: demo
    control_plane:
      description: Whether static pods of a control plane are there, stopped ones included.
      type: bool
      sample: true
    data:
      description: Member and cluster ID of the data of etcd; empty without any.
      type: list
      elements: str
      sample: [8cbe901b092a0b05, 8f87d70b844db2bf]
    memory:
      description: The bytes of memory that are available.
      type: int
      sample: 4112384000
    public:
      description: SHA-256 by path of the public files of an identity that is there.
      type: dict
      sample: {}
    record:
      description: The record of a restore; empty when there is none.
      type: dict
      sample: {}
now:
  description: The time on the host, in seconds since 1970.
  returned: always
  type: float
  sample: 1795258984.2
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._restore import host


def argument_spec() -> dict:
    return {"data_dir": {"type": "path", "default": "/var/lib/etcd"}}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        seen = host.look(module.params["data_dir"])
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, seen=seen, now=time.time())


if __name__ == "__main__":
    main()
