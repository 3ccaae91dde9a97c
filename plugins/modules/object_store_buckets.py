#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: object_store_buckets
short_description: Keep the buckets of an S3 server, with versions, object lock and grants
version_added: 0.2.0
description:
  - Makes buckets and brings their versioning, object lock and bucket policy to what is wanted. Buckets that are not
    named, and all objects, are left alone; no bucket is ever removed.
  - Runs where the server can be reached and boto3 is installed, as on the controller.
author:
  - Caravan contributors (@caravan-cluster)
options:
  endpoint:
    description: The server's address, such as V(https://store.example.org:7070).
    type: str
    required: true
  region:
    description: The server's region.
    type: str
    default: us-east-1
  access_key:
    description: Access key of a user that may make buckets.
    type: str
    required: true
  secret_key:
    description: That user's secret key.
    type: str
    required: true
  ca:
    description: The certificate authority of the server as PEM text. Empty for this machine's own list.
    type: str
    default: ""
  timeout:
    description: How many seconds may pass without an answer, also when the server is only just starting.
    type: int
    default: 15
  buckets:
    description: The buckets.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      versioning:
        description: Whether what is overwritten or deleted stays as an older version.
        type: bool
        default: true
      object_lock:
        description:
          - Whether versions can be locked. Wants O(buckets[].versioning).
          - Can be chosen only when the bucket is made, and never be taken back.
        type: bool
        default: true
      default_retention_days:
        description:
          - For how many days the server locks what is stored. V(0) for no lock of the server's own.
          - With versitygw these days begin when they are set, for all of the bucket; elsewhere, with each object.
        type: int
        default: 0
      default_retention_mode:
        description: The lock's mode. Not even the owner can take back V(COMPLIANCE).
        type: str
        choices: [GOVERNANCE, COMPLIANCE]
        default: GOVERNANCE
      grants:
        description: Who may do what in the bucket. Nobody else may do anything, but the server's root user.
        type: list
        elements: dict
        default: []
        suboptions:
          access_key:
            description: The user's access key, which is its name, too.
            type: str
            required: true
          grant:
            description:
              - V(reader) may list and read.
              - V(writer) may also store, but neither delete nor reach what it overwrote.
              - V(keeper) may list and read all versions, lock them, and delete them once their lock has ended.
            type: str
            choices: [reader, writer, keeper]
            required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Keep the bucket for backups
  caravan.cluster.object_store_buckets:
    endpoint: https://store.example.org:7070
    ca: "{{ lookup('ansible.builtin.file', 'store-ca.crt') }}"
    access_key: root
    secret_key: "{{ store_root_secret_key }}"
    buckets:
      - name: backups
        grants:
          - {access_key: demo-writer, grant: writer}
          - {access_key: demo-keeper, grant: keeper}
  delegate_to: localhost
"""

RETURN = r"""
steps:
  description: What was done (in check mode, would be done) for each bucket that was not as it should be.
  returned: always
  type: dict
  sample: {backups: [create, policy]}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._object_store.errors import ObjectStoreError
from ..module_utils._object_store.plan import GRANTS, RETENTION_MODES, Bucket, check_names, describe, steps
from ..module_utils._object_store.server import Server


def argument_spec() -> dict[str, Any]:
    return {
        "endpoint": {"type": "str", "required": True},
        "region": {"type": "str", "default": "us-east-1"},
        "access_key": {"type": "str", "required": True, "no_log": False},
        "secret_key": {"type": "str", "required": True, "no_log": True},
        "ca": {"type": "str", "default": ""},
        "timeout": {"type": "int", "default": 15},
        "buckets": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "versioning": {"type": "bool", "default": True},
                "object_lock": {"type": "bool", "default": True},
                "default_retention_days": {"type": "int", "default": 0},
                "default_retention_mode": {"type": "str", "choices": RETENTION_MODES, "default": "GOVERNANCE"},
                "grants": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "access_key": {"type": "str", "required": True, "no_log": False},
                        "grant": {"type": "str", "choices": list(GRANTS), "required": True},
                    },
                },
            },
        },
    }


def bucket(wanted: dict[str, Any]) -> Bucket:
    days = wanted["default_retention_days"]
    return Bucket(
        name=wanted["name"],
        versioning=wanted["versioning"],
        lock=wanted["object_lock"],
        retention=(wanted["default_retention_mode"], days) if days else None,
        grants={grant["access_key"]: grant["grant"] for grant in wanted["grants"]},
    )


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    done, before, after = {}, {}, {}
    try:
        wanted = [bucket(entry) for entry in params["buckets"]]
        check_names([each.name for each in wanted])
        server = Server(
            params["endpoint"],
            params["access_key"],
            params["secret_key"],
            params["region"],
            params["ca"],
            params["timeout"],
        )
        server.wait(params["timeout"])
        for each in wanted:
            seen = server.seen(each.name)
            todo = steps(each, seen)
            if todo:
                done[each.name] = [step.verb for step in todo]
                before[each.name], after[each.name] = describe(seen), describe(each)
            if not module.check_mode:
                server.do(todo)
    except ObjectStoreError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(done), steps=done, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
