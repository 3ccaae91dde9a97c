#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restore
short_description: Restore etcd from a backup on one host
version_added: 0.2.0
description:
  - Restores a snapshot as a cluster of one member, with its revision raised far above all that was, so that no client
    sees time go backwards, starts it and proves it healthy. The other members join it later.
  - The data is built beside the data directory, and its IDs are recorded before it is moved into its place, so that an
    interrupted restore is completed by the next run. Data that is there is moved aside, never deleted.
author:
  - Caravan contributors (@caravan-cluster)
options:
  state:
    description:
      - V(restored) restores. V(begun) records that a living cluster is about to be rolled back. V(aside) stops etcd and
        moves its data aside, on the other hosts of such a cluster. V(done) records that the restore came to its end.
    type: str
    choices: [restored, begun, aside, done]
    default: restored
  backup:
    description: The name of the backup, or V(survivor) to begin with the host's own data. Needed unless O(state=aside).
    type: str
  wanted:
    description: What was asked for; kept in the record.
    type: str
    default: latest
  cluster_name:
    description: The cluster's name.
    type: str
    default: ""
  work:
    description: Where the key to the sealed snapshot is, in memory.
    type: path
    default: /run/caravan-restore
  sealed:
    description: Where the sealed snapshot is. In the clear it is only in memory.
    type: path
    default: /var/lib/caravan/restore
  revision:
    description: The snapshot's revision.
    type: int
    default: 0
  hash:
    description: The snapshot's hash.
    type: int
    default: 0
  keys:
    description: The number of keys in the snapshot.
    type: int
    default: 0
  db_bytes:
    description: The size of the snapshot.
    type: int
    default: 0
  replace:
    description: Whether data that is there may be moved aside.
    type: bool
    default: false
  timeout:
    description: Seconds for each step.
    type: float
    default: 900
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.etcd
"""

EXAMPLES = r"""
- name: Restore etcd on this host
  caravan.cluster.etcd_restore:
    backup: 20261121T110400Z_r000000012345_v3.6.8_cp1
    cluster_name: demo
    name: cp1
    members:
      - {name: cp1, peer_url: "https://cp1:2380", client_url: "https://cp1:2379"}
    revision: 12345
    hash: 3187329219
    keys: 478
    db_bytes: 2068480
"""

RETURN = r"""
steps:
  description: What was done (in check mode, what would be).
  returned: always
  type: list
  elements: str
  sample: [place, start]
elapsed_seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 2.3
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup.errors import BackupError
from ..module_utils._etcd.arguments import common_spec, gateway_of, local_of
from ..module_utils._etcd.converge import Waiter
from ..module_utils._etcd.model import EtcdError
from ..module_utils._restore import etcd, host

EXPECTED = ("revision", "hash", "keys", "db_bytes")


def argument_spec() -> dict:
    return {
        **common_spec(),
        "state": {"type": "str", "choices": ["restored", "begun", "aside", "done"], "default": "restored"},
        "backup": {"type": "str"},
        "wanted": {"type": "str", "default": "latest"},
        "cluster_name": {"type": "str", "default": ""},
        "work": {"type": "path", "default": "/run/caravan-restore"},
        "sealed": {"type": "path", "default": "/var/lib/caravan/restore"},
        **{name: {"type": "int", "default": 0, "no_log": False} for name in EXPECTED},
        "replace": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 900},
    }


def restored(module: AnsibleModule) -> list[str]:
    params = module.params
    if module.check_mode:
        return [step for step in etcd.progress(params["backup"], params["data_dir"])[1] if step != "scrub"]
    restore = etcd.Restore(
        local=local_of(params, module.run_command),
        gateway=gateway_of(params),
        waiter=Waiter(params["timeout"]),
        peer_url=next(member["peer_url"] for member in params["members"] if member["name"] == params["name"]),
        cluster=params["cluster_name"],
        backup=params["backup"],
        wanted=params["wanted"],
        expected={name: params[name] for name in EXPECTED},
        sealed=Path(params["sealed"], "snapshot.age"),
        key=Path(params["work"], host.KEY),
        replace=params["replace"],
        timeout=params["timeout"],
    )
    restore.run()
    return restore.done


def run(module: AnsibleModule) -> list[str]:
    params = module.params
    if params["state"] == "restored":
        return restored(module)
    if params["state"] == "begun":
        begun = etcd.begin(params["backup"], params["wanted"], params["cluster_name"], module.check_mode)
        return ["begun"] if begun else []
    if params["state"] == "done":
        return ["done"] if etcd.finish(params["backup"], module.check_mode) else []
    if not host.data_ids(params["data_dir"]):
        return []
    if not module.check_mode:
        etcd.set_aside(local_of(params, module.run_command))
    return ["aside"]


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", state, ["backup"]) for state in ("restored", "begun", "done")],
        supports_check_mode=True,
    )
    started = time.monotonic()
    try:
        with host.locked(module.params["timeout"], module.check_mode):
            steps = run(module)
    except (BackupError, EtcdError, OSError) as error:
        module.fail_json(msg=f"restore of etcd: {error}")
    text = "".join(f"{step}\n" for step in steps)
    module.exit_json(
        changed=bool(steps),
        steps=steps,
        diff={"before": "", "after": text},
        elapsed_seconds=round(time.monotonic() - started, 2),
    )


if __name__ == "__main__":
    main()
