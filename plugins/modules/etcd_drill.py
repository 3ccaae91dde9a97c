#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_drill
short_description: Run a restore drill now, and return its verdict
version_added: 0.2.0
description:
  - Starts the service with which the role C(backup_host) drills on a timer, waits for it and reads its report. The
    newest backup of each store is restored into a throw-away etcd and read.
  - A drill that is under way is waited for, and counts.
  - Does not fail where a backup did not pass, so that the verdicts of all hosts can be shown; it fails where no drill
    could be made at all.
  - A drill changes nothing but its own report and metrics, and is never reported as a change. In check mode none is
    made, and the report of the last one is returned.
author:
  - Caravan contributors (@caravan-cluster)
options:
  unit:
    description: The service that drills.
    type: str
    default: caravan-etcd-drill.service
  report:
    description: Where it leaves its report.
    type: path
    default: /var/lib/caravan/backup/drill.json
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Prove that the newest backups can be restored
  caravan.cluster.etcd_drill:
  register: __drill

- name: Go no further without a backup that can be restored
  ansible.builtin.assert:
    that: __drill.passed
    fail_msg: "{{ __drill.text }}"
"""

RETURN = r"""
ran:
  description: Whether this run made a drill. Not in check mode.
  returned: always
  type: bool
  sample: true
passed:
  description: Whether all stores passed.
  returned: always
  type: bool
  sample: true
text:
  description: The verdict in words, a line for each store and each check that failed.
  returned: always
  type: list
  elements: str
  sample: ["main: passed, 20261121T110400Z_r000000012345_v3.6.8_cp1, 4.1 s"]
report:
  description: The report of the drill. Empty in check mode where there was none yet.
  returned: always
  type: dict
  contains:
    verdict:
      description: V(passed) or V(failed).
      type: str
      sample: passed
    started:
      description: When it was begun, in UTC.
      type: str
      sample: 20261121T043000Z
    stores:
      description: Verdict, backup, checks, seconds and counts for each store.
      type: list
      elements: dict
      sample: [{store: main, verdict: passed, backup: 20261121T110400Z_r000000012345_v3.6.8_cp1}]
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import drill


def argument_spec() -> dict:
    return {
        "unit": {"type": "str", "default": "caravan-etcd-drill.service"},
        "report": {"type": "path", "default": "/var/lib/caravan/backup/drill.json"},
    }


def read(path: Path) -> dict[str, Any]:
    """The last report; empty when there is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def is_new(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the service has left another report than the one that was there."""
    return bool(after) and after != before


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    path = Path(module.params["report"])
    report = before = read(path)
    if not module.check_mode:
        # It ends with an error when a backup does not pass: the report says more.
        code, _out, err = module.run_command(["systemctl", "start", module.params["unit"]])
        report = read(path)
        if not is_new(before, report):
            _out, journal, _err = module.run_command(
                ["journalctl", "--unit", module.params["unit"], "--lines=10", "--no-pager", "--output=cat"]
            )
            module.fail_json(msg=f"{module.params['unit']} left no report ({code}): {err.strip()} {journal.strip()}")
    module.exit_json(
        changed=False,
        ran=not module.check_mode,
        passed=report.get("verdict") == drill.PASSED,
        text=drill.summary(report),
        report=report,
    )


if __name__ == "__main__":
    main()
