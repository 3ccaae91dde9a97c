#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_snapshot_info
short_description: List the backups of etcd
version_added: 0.2.0
description:
  - Lists the backups in the stores that the role C(caravan.cluster.etcd_backup) has configured on the host. What was
    begun and not finished is no backup, and not listed.
  - Reads the manifests only. A backup counts as verified when it was read back after it had been stored, and has that
    size still; whether it can be restored is for a drill to say.
author:
  - Caravan contributors (@caravan-cluster)
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: List the backups
  caravan.cluster.etcd_snapshot_info:
  register: __backups

- name: Show the newest one
  ansible.builtin.debug:
    var: __backups.snapshots | first
"""

RETURN = r"""
snapshots:
  description: >-
    The backups, newest first: C(name), C(key), C(time) (UTC), C(bytes) (as stored), C(db_bytes) (of the database),
    C(revision), C(hash), C(keys), C(counts) (keys of each resource), C(member) (that took it), C(etcd_version),
    C(cluster_id), C(sha256), C(recipients), C(identity) (the parts of the identity that belong to it), C(verified),
    C(stores) (that have it), C(damaged) (stores in which its object is not there, or has another size).
  returned: always
  type: list
  elements: dict
  sample:
    - {name: 20261121T110400Z_r000000012345_v3.6.8_cp1, time: 20261121T110400Z, bytes: 3145728, db_bytes: 20979712,
      revision: 12345, hash: 2943121, keys: 9123, member: cp1, etcd_version: 3.6.8, verified: true, stores: [main],
      damaged: []}
errors:
  description: Why a store could not be read, by store. When none can be read, the module fails.
  returned: always
  type: dict
  sample: {}
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

PROGRAM = "/usr/local/sbin/caravan-backup"


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    if not Path(PROGRAM).exists():
        module.fail_json(msg=f"{PROGRAM} is not there, wanted a host that the role caravan.cluster.etcd_backup set up")
    code, out, err = module.run_command([PROGRAM, "list", "--json"])
    if code != 0:
        module.fail_json(msg=(err or out).strip())
    listed = json.loads(out)
    if listed["errors"] and listed["stores"] == len(listed["errors"]):
        module.fail_json(msg="; ".join(listed["errors"].values()), snapshots=[], errors=listed["errors"])
    module.exit_json(changed=False, snapshots=listed["backups"], errors=listed["errors"])


if __name__ == "__main__":
    main()
