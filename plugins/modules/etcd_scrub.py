#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_scrub
short_description: Delete from restored data what belonged to machines that are gone
version_added: 0.2.0
description:
  - Deletes Nodes, leases, pods, CSINodes, VolumeAttachments and certificate requests of machines that are gone, and
    what processes that are gone held, such as the addresses of the old API servers. Says what cannot come back.
  - Runs after M(caravan.cluster.etcd_restore), while no API server does. Done once for each restore.
author:
  - Caravan contributors (@caravan-cluster)
options:
  backup:
    description: The name of the backup that was restored.
    type: str
    required: true
  stay:
    description: Names of nodes whose machines are still there.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.etcd
"""

EXAMPLES = r"""
- name: Take out what belonged to the old machines
  caravan.cluster.etcd_scrub:
    backup: 20261121T110400Z_r000000012345_v3.6.8_cp1
    name: cp1
    members:
      - {name: cp1, peer_url: "https://cp1:2380", client_url: "https://cp1:2379"}
"""

RETURN = r"""
deleted:
  description: The number of deleted keys, by reason.
  returned: always
  type: dict
  sample: {"Nodes of machines that are gone": 2}
gone:
  description: Names of the nodes that are gone.
  returned: always
  type: list
  elements: str
  sample: [cp1, worker1]
lost:
  description: What cannot come back, in words.
  returned: always
  type: list
  elements: str
  sample: ["Pod app/bare: it was on worker1, and nothing makes it again"]
workloads:
  description: Workloads that ran, and can run again.
  returned: always
  type: list
  elements: dict
  sample: [{kind: Deployment, namespace: app, name: web}]
elapsed_seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 0.3
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup.errors import BackupError
from ..module_utils._backup.etcd import Etcd
from ..module_utils._etcd.arguments import common_spec, gateway_of
from ..module_utils._etcd.model import EtcdError
from ..module_utils._restore import etcd, host


def argument_spec() -> dict:
    return {
        **common_spec(),
        "backup": {"type": "str", "required": True},
        "stay": {"type": "list", "elements": "str", "default": []},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    started = time.monotonic()
    try:
        member = Etcd(
            params["local_url"], params["ca_certificate"], params["client_certificate"], params["client_key"], 30
        )
        with host.locked(120, module.check_mode):
            gateway = None if module.check_mode else gateway_of(params)
            result = etcd.scrubbed(member, gateway, params["backup"], params["stay"])
    except (BackupError, EtcdError, OSError) as error:
        module.fail_json(msg=f"scrub: {error}")
    text = "".join(f"{number} {reason}\n" for reason, number in result["deleted"].items()) if result["changed"] else ""
    module.exit_json(diff={"before": text, "after": ""}, elapsed_seconds=round(time.monotonic() - started, 2), **result)


if __name__ == "__main__":
    main()
