#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_source
short_description: Find a backup, prove it whole, and seal it for the machines it is restored on
version_added: 0.2.0
description:
  - Runs where the age identity is. O(state=verified) chooses a backup, and reads all of it - checksum, decryption,
    C(etcdutl snapshot status), the identity bundles, cluster and networks - before anything else is touched.
  - O(state=sealed) decrypts what was verified and encrypts it in the same moment to keys that the machines made for
    this one restore. Nothing is in the clear on a disk or on the network, and the age identity stays where it is.
  - Needs age, zstd, rclone, openssl and etcdutl.
author:
  - Caravan contributors (@caravan-cluster)
options:
  state:
    description: What to do. V(absent) removes O(work).
    type: str
    choices: [verified, sealed, absent]
    default: verified
  work:
    description: A directory in memory (tmpfs), for this module alone.
    type: path
    required: true
  identity_file:
    description: The file of the age identity, the private key. Needed unless O(state=absent).
    type: path
  backup:
    description: V(latest), the name of a backup, or a time; then the newest backup that is not younger is taken.
    type: str
    default: latest
  cluster_name:
    description: The cluster's name. Needed for O(state=verified).
    type: str
  etcd_version:
    description: The version of etcd that will read the backup. Needed for O(state=verified).
    type: str
  settings:
    description: What the inventory says of the cluster, to be compared with the identity bundle.
    type: dict
    default: {}
  stores:
    description: The stores, asked in this order.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name in messages.
        type: str
        required: true
      endpoint:
        description: Its URL. Empty for Amazon's own.
        type: str
        default: ""
      region:
        description: Its region.
        type: str
        default: ""
      bucket:
        description: The bucket.
        type: str
        required: true
      prefix:
        description: Where in the bucket backups begin.
        type: str
        default: ""
      provider:
        description: rclone's name for this kind of server.
        type: str
        default: Other
      access_key:
        description: The access key. Without one, rclone takes that of its environment.
        type: str
        default: ""
      secret_key:
        description: The secret key.
        type: str
        default: ""
      ca:
        description: The certificate of the store's authority, in PEM.
        type: str
        default: ""
  recipients:
    description: The public keys to seal to. Needed for O(state=sealed).
    type: list
    elements: str
    default: []
  path:
    description: A directory with programs that are not on the host's path.
    type: path
  timeout:
    description: Seconds for each transfer, decryption or check.
    type: float
    default: 900
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  check_mode:
    support: full
    details: A backup is verified in check mode, too.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: What was verified is fetched again, and sealed again to other keys.
"""

EXAMPLES = r"""
- name: Verify the newest backup
  caravan.cluster.restore_source:
    work: /dev/shm/caravan-restore
    identity_file: /root/age.key
    cluster_name: demo
    etcd_version: 3.6.8
    stores: "{{ etcd_backup_stores }}"
  delegate_to: localhost
"""

RETURN = r"""
backup:
  description: The backup that was verified.
  returned: when O(state=verified)
  type: dict
  sample:
    name: 20261121T110400Z_r000000012345_v3.6.8_cp1
    time: "2026-11-21T11:04:00+00:00"
    age_seconds: 312.4
    store: near
    etcd_version: 3.6.8
    revision: 12345
    hash: 3187329219
    keys: 478
    db_bytes: 2068480
passed_over:
  description: Why the backup was not taken from stores that were asked before.
  returned: when O(state=verified)
  type: list
  elements: str
  sample: []
files:
  description: What was sealed, in O(work).
  returned: when O(state=sealed)
  type: list
  elements: str
  sample: [control_plane.age, etcd.age, snapshot.age]
handed_over:
  description: Whether the user who became root by sudo for this module may read these files.
  returned: when O(state=sealed)
  type: bool
  sample: true
elapsed_seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 1.2
"""

import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import restore_source
from ..module_utils._backup.errors import BackupError


def argument_spec() -> dict:
    text = {"type": "str", "default": ""}
    return {
        "state": {"type": "str", "choices": ["verified", "sealed", "absent"], "default": "verified"},
        "work": {"type": "path", "required": True},
        "identity_file": {"type": "path"},
        "backup": {"type": "str", "default": "latest"},
        "cluster_name": {"type": "str"},
        "etcd_version": {"type": "str"},
        "settings": {"type": "dict", "default": {}},
        "stores": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "endpoint": text,
                "region": text,
                "bucket": {"type": "str", "required": True},
                "prefix": text,
                "provider": {"type": "str", "default": "Other"},
                "access_key": {"type": "str", "default": "", "no_log": False},
                "secret_key": {"type": "str", "default": "", "no_log": True},
                "ca": text,
            },
        },
        "recipients": {"type": "list", "elements": "str", "default": []},
        "path": {"type": "path"},
        "timeout": {"type": "float", "default": 900},
    }


def verified(params: dict, check_mode: bool) -> dict:
    began = time.time()
    if not params["stores"]:
        raise BackupError("there is no store to look for backups in: set etcd_backup_stores")
    directory = restore_source.prepare(params["work"])
    wanted = restore_source.Wanted(
        cluster=params["cluster_name"],
        backup=params["backup"],
        identity_file=params["identity_file"],
        etcd_version=params["etcd_version"],
        settings=params["settings"],
        timeout=params["timeout"],
    )
    try:
        stores = restore_source.open_stores(params["stores"], directory, params["timeout"])
        found = restore_source.verify(wanted, stores, directory)
    except BaseException:
        restore_source.remove(params["work"])
        raise
    if check_mode:
        restore_source.remove(params["work"])
    backup = restore_source.to_plain(found, began - found.name.time.timestamp())
    return {"changed": False, "backup": backup, "passed_over": found.passed_over}


def run(params: dict, check_mode: bool) -> dict:
    if params["path"]:
        os.environ["PATH"] = f"{params['path']}:{os.environ.get('PATH', '')}"
    if params["state"] == "verified":
        return verified(params, check_mode)
    if params["state"] == "absent":
        there = Path(params["work"]).exists()
        if not check_mode:
            restore_source.remove(params["work"])
        return {"changed": there}
    if check_mode:
        return {"changed": False, "files": [], "handed_over": False}
    files = restore_source.reseal(
        Path(params["work"]), params["recipients"], params["identity_file"], params["timeout"]
    )
    login = os.environ.get("SUDO_UID", "")
    if login:
        restore_source.hand_over(Path(params["work"]), files, int(login))
    return {"changed": False, "files": files, "handed_over": bool(login)}


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[
            ("state", "verified", ["identity_file", "cluster_name", "etcd_version"]),
            ("state", "sealed", ["identity_file", "recipients"]),
        ],
        supports_check_mode=True,
    )
    started = time.monotonic()
    try:
        result = run(module.params, module.check_mode)
    except (BackupError, OSError) as error:
        module.fail_json(msg=f"restore: {error}")
    module.exit_json(elapsed_seconds=round(time.monotonic() - started, 2), **result)


if __name__ == "__main__":
    main()
