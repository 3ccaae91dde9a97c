#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member_info
short_description: Look at an etcd member and its cluster
version_added: 0.1.0
description:
  - Reads a host's data directory, the record of its membership and its service, and asks the members that answer for
    the member list and everyone's health. Changes nothing, and does not fail where etcd is not there yet.
author:
  - Caravan contributors (@caravan-cluster)
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.etcd
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Look at this member
  caravan.cluster.etcd_member_info:
    name: cp1
    members:
      - {name: cp1, peer_url: "https://cp1:2380", client_url: "https://cp1:2379"}
  register: __etcd_seen
"""

RETURN = r"""
host:
  description: What was seen on the host.
  returned: always
  type: dict
  sample: {name: cp1, reached: true, has_data: true, member_id: "4711", cluster_id: "815", record: {state: member},
    active: true, enabled: true, stale: false}
cluster:
  description: The cluster, as a member with quorum sees it; null when none answers.
  returned: always
  type: dict
  sample: {id: "815", members: [{id: "4711", name: cp1, peer_urls: ["https://cp1:2380"],
    client_urls: ["https://cp1:2379"], learner: false, healthy: true}]}
proven:
  description: Whether a linearizable read through this member works and its member list is the quorum's.
  returned: always
  type: bool
  sample: true
missing:
  description: What is missing for that.
  returned: always
  type: str
  sample: ""
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._etcd.arguments import common_spec, gateway_of, local_of
from ..module_utils._etcd.converge import check, record_of
from ..module_utils._etcd.model import EtcdError, host_to_plain, members_to_plain


def argument_spec() -> dict:
    return common_spec()


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        local = local_of(module.params, module.run_command)
        host = local.observe()
        cluster, missing = None, ""
        try:
            gateway = gateway_of(module.params)
            cluster = gateway.cluster()
            proven = check(gateway, module.params["name"])
            own = proven.by_name(module.params["name"])
            if own is None or local.record() != record_of(proven, own) or local.has_first_start():
                missing = "its membership is not recorded"
        except EtcdError as error:
            missing = str(error)
    except (EtcdError, OSError) as error:
        module.fail_json(msg=f"{module.params['name']}: {error}")
    module.exit_json(
        changed=False,
        host=host_to_plain(host),
        cluster=members_to_plain(cluster),
        proven=not missing,
        missing=missing,
    )


if __name__ == "__main__":
    main()
