#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_snapshot
short_description: Take an encrypted backup of etcd now
version_added: 0.2.0
description:
  - Takes a snapshot by the etcd member on the host, verifies it, compresses and encrypts it in memory, stores it in all
    stores, and reads it back. Stores the host's part of the cluster's identity as well, where it changed.
  - Stores and recipients are those the role C(caravan.cluster.etcd_backup) has configured. The work is done by its
    service, so that nothing is in the clear on a disk.
  - On a host without a member only the identity is stored.
  - Fails when one of the stores could not be served, or when the member is not fit to be backed up.
author:
  - Caravan contributors (@caravan-cluster)
options:
  max_age:
    description:
      - Seconds. A store that has a verified backup which is not older gets no other one.
      - With V(0) a backup is taken in any case.
    type: int
    default: 0
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: With O(max_age=0) each call takes a backup.
"""

EXAMPLES = r"""
- name: Take a backup
  caravan.cluster.etcd_snapshot:

- name: See to it that there is a backup of the last hour
  caravan.cluster.etcd_snapshot:
    max_age: 3600
"""

RETURN = r"""
wanted:
  description: Whether a snapshot, or a part of the identity, was lacking in a store.
  returned: always
  type: bool
  sample: true
stored:
  description: Whether all stores now have what is wanted.
  returned: always
  type: bool
  sample: true
fit:
  description: Whether the member may be backed up.
  returned: always
  type: bool
  sample: true
time:
  description: When the module began, in seconds since 1970.
  returned: when backups are configured on the host
  type: float
  sample: 1795262427.0
snapshot:
  description: The manifest of the snapshot that was taken.
  returned: when one was taken
  type: dict
  sample: {key: prod/etcd/20261121T110400Z_r000000012345_v3.6.8_cp1.db.zst.age, time: 20261121T110400Z, member: cp1,
    revision: 12345, hash: 2943121, keys: 9123, db_bytes: 20979712, bytes: 3145728, etcd_version: 3.6.8}
stores:
  description: >-
    What became of each store: C(taken), C(newest) (key of its newest verified backup), C(time) (when that was begun),
    C(bytes), C(seconds), C(identity) (the parts of the identity that were stored), C(error).
  returned: when backups are configured on the host
  type: dict
  sample: {main: {taken: true, newest: prod/etcd/20261121T110400Z_r000000012345_v3.6.8_cp1.db.zst.age,
    time: 20261121T110400Z, bytes: 3145728, seconds: 1.2, identity: {}, error: ""}}
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

PROGRAM = "/usr/local/sbin/caravan-backup"
STATE = Path("/var/lib/caravan/backup")
# By what is lacking: the one that always snapshots, or the one that does what is due.
SERVICES = {"now": "caravan-etcd-backup-now.service", "run": "caravan-etcd-backup.service"}


def argument_spec() -> dict[str, Any]:
    return {"max_age": {"type": "int", "default": 0}}


def failures(result: dict[str, Any]) -> list[str]:
    """What went wrong in a run, in words."""
    return [text for text in (*(store["error"] for store in result["stores"].values()), result["error"]) if text]


def reached(result: dict[str, Any]) -> bool:
    """Whether any store was."""
    return any(not store["error"] for store in result["stores"].values())


def is_lacking(result: dict[str, Any]) -> bool:
    """Whether a look at the stores found something to do."""
    return bool(result["wanted"] or any(store["identity"] for store in result["stores"].values()))


class Agent:
    """The edge: the program and its services."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def foresee(self, max_age: int) -> dict[str, Any]:
        code, out, err = self.module.run_command([PROGRAM, "foresee", f"--max-age={max_age}"])
        if code != 0:
            self.module.fail_json(msg=(err or out).strip())
        return dict(json.loads(out))

    def act(self, verb: str) -> dict[str, Any]:
        """Run a service to its end, and return what it says it did."""
        path = STATE / f"{verb}.json"
        path.unlink(missing_ok=True)
        code, _out, err = self.module.run_command(["systemctl", "start", SERVICES[verb]])
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            self.module.fail_json(
                msg=f"{SERVICES[verb]} ended with {code} and left no result: {err.strip()}\n{self._journal(verb)}"
            )
            raise

    def _journal(self, verb: str) -> str:
        command = ["journalctl", "--unit", SERVICES[verb], "--lines", "20", "--no-pager", "--output", "cat"]
        return str(self.module.run_command(command)[1])


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if not Path(PROGRAM).exists():
        if module.check_mode:
            module.exit_json(changed=True, wanted=True, fit=True, stored=False)
        module.fail_json(msg=f"{PROGRAM} is not there, wanted a host that the role caravan.cluster.etcd_backup set up")
    agent = Agent(module)
    began = time.time()
    foreseen = agent.foresee(module.params["max_age"])
    seen = {
        "wanted": is_lacking(foreseen),
        "fit": not foreseen["error"],
        "stores": foreseen["stores"],
        "time": began,
    }
    if failures(foreseen) and (module.check_mode or foreseen["error"] or not reached(foreseen)):
        module.fail_json(msg="; ".join(failures(foreseen)), **seen)
    if module.check_mode or not (is_lacking(foreseen) or failures(foreseen)):
        module.exit_json(changed=is_lacking(foreseen), stored=not is_lacking(foreseen), **seen)
    result = agent.act("now" if foreseen["wanted"] else "run")
    seen["stores"] = result["stores"]
    if result["manifest"]:
        seen["snapshot"] = result["manifest"]
    if failures(result):
        module.fail_json(msg="; ".join(failures(result)), stored=False, **seen)
    module.exit_json(changed=result["changed"], stored=True, **seen)


if __name__ == "__main__":
    main()
