#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Make a host a healthy member of its etcd cluster, or take a member out
version_added: 0.1.0
description:
  - Bootstraps, starts, joins (as a learner that is promoted when it is in step), rejoins after a lost data directory,
    updates or restarts a member, whatever its state and the cluster's ask for.
  - What has to be done follows only from what is seen, so that an interrupted run is completed by the next one. The
    quorum is never risked; where a step would risk it, the module refuses and says why.
  - An action plugin plans on the controller from the results of M(caravan.cluster.etcd_member_info) of all hosts,
    registered as C(__etcd_seen). A host with nothing to do is not touched.
  - A member that is not in the inventory is reported and left alone; O(state=absent) removes one.
author:
  - Caravan contributors (@caravan-cluster)
options:
  state:
    description:
      - V(started) starts what needs no other member, all hosts at once, and does not wait.
      - V(present) changes the membership or restarts the member, proving its health. Use C(throttle=1).
      - V(proven) waits until the member is healthy, a started voter, and agrees with the others about the member list.
      - V(absent) takes the member O(remove) out of the member list, through any member that answers.
    type: str
    choices: [started, present, proven, absent]
    default: present
  remove:
    description: The member to take out. Needed for O(state=absent).
    type: str
  cluster_name:
    description: The cluster's name, which a consent has to repeat.
    type: str
    default: ""
  bootstrap_consent:
    description: The cluster's name, to begin with an empty cluster although there has been data.
    type: str
    default: ""
  discard_data_consent:
    description: The cluster's name, to have the data of a removed member moved aside, and to join anew.
    type: str
    default: ""
  hosts:
    description: Inventory names of all hosts that should be members, in the order of O(members). For the action plugin.
    type: list
    elements: str
    default: []
  observed:
    description: What was seen on the hosts. Set by the action plugin.
    type: list
    elements: dict
    default: []
  steps:
    description: What to do with O(state=started). Set by the action plugin.
    type: list
    elements: str
    default: []
  will_change:
    description: In check mode, whether the watched files would have been changed by an earlier task.
    type: bool
    default: false
  timeout:
    description: Seconds for each step to be proven.
    type: float
    default: 120
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.etcd
"""

EXAMPLES = r"""
- name: Join the cluster
  caravan.cluster.etcd_member:
    name: cp2
    members:
      - {name: cp1, peer_url: "https://cp1:2380", client_url: "https://cp1:2379"}
      - {name: cp2, peer_url: "https://cp2:2380", client_url: "https://cp2:2379"}
    hosts: [cp1, cp2]
  throttle: 1

- name: Take a dead member out
  caravan.cluster.etcd_member:
    state: absent
    remove: cp3
    name: cp1
    members:
      - {name: cp1, peer_url: "https://cp1:2380", client_url: "https://cp1:2379"}
      - {name: cp2, peer_url: "https://cp2:2380", client_url: "https://cp2:2379"}
  run_once: true
"""

RETURN = r"""
action:
  description: What the state of things asked for.
  returned: always
  type: str
  sample: join
steps:
  description: The steps that were done, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [add_learner, first_start, promote, record]
unknown_members:
  description: Members the inventory does not know.
  returned: when they could be asked for
  type: list
  elements: str
  sample: [cp9]
elapsed_seconds:
  description: How long it took, in seconds.
  returned: when the host was touched
  type: float
  sample: 6.1
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._etcd.arguments import common_spec, gateway_of, local_of
from ..module_utils._etcd.converge import Convergence, Waiter, remove
from ..module_utils._etcd.model import EtcdError, host_from_plain
from ..module_utils._etcd.planner import Consents


def argument_spec() -> dict:
    return {
        **common_spec(),
        "state": {"type": "str", "choices": ["started", "present", "proven", "absent"], "default": "present"},
        "remove": {"type": "str"},
        "cluster_name": {"type": "str", "default": ""},
        "bootstrap_consent": {"type": "str", "default": ""},
        "discard_data_consent": {"type": "str", "default": ""},
        "hosts": {"type": "list", "elements": "str", "default": []},
        "observed": {"type": "list", "elements": "dict", "default": []},
        "steps": {"type": "list", "elements": "str", "default": []},
        "will_change": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 120},
    }


def run(module: AnsibleModule) -> dict:
    parameters = module.params
    gateway = gateway_of(parameters)
    waiter = Waiter(parameters["timeout"])
    if parameters["state"] == "absent":
        gone = remove(gateway, parameters["remove"], waiter, module.check_mode)
        steps = ["remove"] if gone else []
        return {"changed": gone, "action": "remove" if gone else "nothing", "steps": steps}
    if module.check_mode:
        raise EtcdError("in check mode the action plugin answers from what was seen")
    hosts = {host.name: host for host in map(host_from_plain, parameters["observed"])}
    convergence = Convergence(
        local=local_of(parameters, module.run_command),
        gateway=gateway,
        hosts=hosts,
        wanted={member["name"]: member["peer_url"] for member in parameters["members"]},
        consents=Consents(
            parameters["cluster_name"], parameters["bootstrap_consent"], parameters["discard_data_consent"]
        ),
        waiter=waiter,
    )
    if parameters["state"] == "started":
        convergence.start(parameters["steps"])
    elif parameters["state"] == "present":
        convergence.converge()
    else:
        convergence.prove()
    return {
        "changed": bool(convergence.done),
        "action": convergence.done[0] if convergence.done else "nothing",
        "steps": convergence.done,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(), required_if=[("state", "absent", ["remove"])], supports_check_mode=True
    )
    started = time.monotonic()
    try:
        result = run(module)
    except (EtcdError, OSError) as error:
        module.fail_json(msg=str(error))
    text = "".join(f"{step}\n" for step in result["steps"])
    module.exit_json(elapsed_seconds=round(time.monotonic() - started, 2), diff={"before": "", "after": text}, **result)


if __name__ == "__main__":
    main()
