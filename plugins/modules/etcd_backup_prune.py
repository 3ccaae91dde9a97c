#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_backup_prune
short_description: Remove the backups of etcd that the retention no longer wants
version_added: 0.2.0
description:
  - Looks at all backups of a cluster in each store, decides which of them stay, and removes the others for good, with
    all their versions.
  - The newest verified snapshot always stays; so do the parts of the identity that a snapshot which stays needs, what
    is locked, what was written more than once and is damaged, and what is not Caravan's. Where no snapshot is verified,
    nothing is removed.
  - Runs where rclone and boto3 are installed, with credentials that may delete. Nodes have none.
author:
  - Caravan contributors (@caravan-cluster)
options:
  cluster_name:
    description: The cluster whose backups these are.
    type: str
    required: true
  stores:
    description: The stores.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name, in lower-case letters, digits, C(-) and C(_).
        type: str
        required: true
      endpoint:
        description: URL of the S3 server. Empty for Amazon's own.
        type: str
        default: ""
      region:
        description: Region.
        type: str
        default: ""
      bucket:
        description: Bucket.
        type: str
        required: true
      prefix:
        description: Folder of the bucket in which all keys are.
        type: str
        default: ""
      provider:
        description: Kind of server, as rclone calls it.
        type: str
        default: Other
      access_key:
        description: Access key. Empty where the machine has an identity of its own.
        type: str
        default: ""
      secret_key:
        description: Secret key.
        type: str
        default: ""
      ca:
        description: Certificate authority of the server, as PEM text. Empty where the system knows it.
        type: str
        default: ""
  retention:
    description: How much stays. Counts of periods are of such in which there is a backup; all times are UTC.
    type: dict
    default: {}
    suboptions:
      last:
        description: The newest snapshots.
        type: int
        default: 8
      hourly:
        description: The newest snapshot of each of so many hours.
        type: int
        default: 48
      daily:
        description: The newest snapshot of each of so many days.
        type: int
        default: 14
      weekly:
        description: The newest snapshot of each of so many weeks, which begin on Monday.
        type: int
        default: 8
      monthly:
        description: The newest snapshot of each of so many months.
        type: int
        default: 12
      unfinished_hours:
        description: For how many hours an object without a manifest is left alone, as its upload may be under way.
        type: int
        default: 24
      deleted_days:
        description: For how many days what others deleted can be brought back from its older versions.
        type: int
        default: 7
      lock_days:
        description:
          - Locks every snapshot that stays until so many days after it was taken, with what it needs of the identity.
            V(0) for no lock.
          - Wants buckets with object lock. Nobody, not even with these credentials, can remove what is locked.
        type: int
        default: 0
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: See what would go
  caravan.cluster.etcd_backup_prune:
    cluster_name: demo
    stores: "{{ backup_host_stores }}"
    retention: {last: 8, hourly: 24, daily: 7, weekly: 4, monthly: 6}
  check_mode: true
  diff: true
"""

RETURN = r"""
stores:
  description: What was found and done in each store.
  returned: always
  type: list
  elements: dict
  contains:
    store:
      description: The store's name.
      type: str
      sample: main
    kept:
      description: What stays, oldest first, and why.
      type: list
      elements: dict
      sample: [{name: etcd/20261121T110400Z_r000000012345_v3.6.8_cp1.db.zst.age, reasons: [newest]}]
    pruned:
      description: What goes, oldest first, and why.
      type: list
      elements: dict
      sample: [{name: etcd/20260821T110400Z_r000000000345_v3.6.8_cp1.db.zst.age, reasons: [no longer wanted]}]
    removed:
      description: What was removed. Empty in check mode.
      type: list
      elements: str
      sample: [etcd/20260821T110400Z_r000000000345_v3.6.8_cp1.db.zst.age]
    removed_bytes:
      description: The size of what was removed.
      type: int
      sample: 4194304
    locked:
      description: Keys that were locked (in check mode, would be).
      type: list
      elements: str
      sample: []
    overwritten:
      description: What was written more than once, which no agent does.
      type: list
      elements: str
      sample: []
    foreign:
      description: Keys in the cluster's folders that are not Caravan's, and were left alone.
      type: list
      elements: str
      sample: []
    failed:
      description: What should have gone and could not, with what the server said.
      type: dict
      sample: {}
    refused:
      description: Why nothing was removed at all. Empty when there was no such reason.
      type: str
      sample: ""
    error:
      description: What went wrong with the store as a whole.
      type: str
      sample: ""
"""

import dataclasses
import datetime
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import config, prune
from ..module_utils._backup.errors import BackupError
from ..module_utils._backup.retention import Policy
from ..module_utils._backup.stores import rclone_config


def argument_spec() -> dict[str, Any]:
    text = {"type": "str", "default": ""}
    return {
        "cluster_name": {"type": "str", "required": True},
        "stores": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "bucket": {"type": "str", "required": True},
                "endpoint": text,
                "region": text,
                "prefix": text,
                "provider": {"type": "str", "default": "Other"},
                "access_key": {**text, "no_log": False},
                "secret_key": {**text, "no_log": True},
                "ca": text,
            },
        },
        "retention": {
            "type": "dict",
            "default": {},
            "options": {each.name: {"type": "int", "default": each.default} for each in dataclasses.fields(Policy)},
        },
    }


def write_configuration(directory: Path, stores: Sequence[Mapping[str, Any]]) -> None:
    """Write what rclone and boto3 go by. The directory is the owner's only."""
    file = directory / "rclone.conf"
    file.touch(mode=0o600)
    file.write_text(rclone_config([dict(store) for store in stores]))
    for store in stores:
        if store["ca"]:
            (directory / f"ca-{store['name']}.pem").write_text(store["ca"])


def shown(result: prune.Result, before: bool) -> str:
    """A store's units, one in each line, for a diff."""
    units = result.plan.units if before else result.plan.staying
    locked = [] if before else [f"{result.store}: {key} is locked" for key in result.locked]
    return "".join(f"{line}\n" for line in [*(f"{result.store}: {unit.key}" for unit in units), *locked])


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    wanted = module.params["stores"]
    try:
        with tempfile.TemporaryDirectory(prefix="caravan-prune-") as directory:
            write_configuration(Path(directory), wanted)
            stores = config.stores([{**store, "has_ca": store["ca"]} for store in wanted], Path(directory))
            policy = prune.policy_of(module.params["retention"])
            now = datetime.datetime.now(datetime.timezone.utc)
            results = [
                prune.prune(store, module.params["cluster_name"], policy, now, module.check_mode) for store in stores
            ]
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    answer = {
        "changed": any(
            result.removed or result.locked or (module.check_mode and result.plan.going) for result in results
        ),
        "stores": [result.plain() for result in results],
        "diff": {
            "before": "".join(shown(result, True) for result in results),
            "after": "".join(shown(result, False) for result in results),
        },
    }
    failures = [result for result in results if not result.good]
    if failures:
        said = [result.error or "; ".join(result.failed.values()) for result in failures]
        module.fail_json(msg=" / ".join(said), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
