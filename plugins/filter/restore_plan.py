# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_plan
short_description: Decide onto which host etcd is restored, and whether it may be
version_added: 0.2.0
description:
  - Takes what M(caravan.cluster.restore_info) saw on each host.
author:
  - Caravan contributors (@caravan-cluster)
positional: _input
options:
  _input:
    description: What was seen, by host.
    type: dict
    required: true
  etcd_hosts:
    description: All hosts of the group etcd.
    type: list
    elements: str
    required: true
  cluster:
    description: The cluster's name.
    type: str
    required: true
  wanted:
    description: What was asked for.
    type: str
    default: latest
  consent:
    description: The cluster's name, to put older data in place of a living cluster's.
    type: str
    default: ""
  survivor:
    description: The host whose own data is the source, where there is more than one.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ states | caravan.cluster.restore_plan(etcd_hosts=groups['etcd'], cluster='demo') }}"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    mode:
      description: What kind of restore this is, V(new), V(in_place) or V(resume).
      type: str
    host:
      description: The host etcd is restored on.
      type: str
    backup:
      description: The backup whose restore was interrupted, or V(survivor); empty else.
      type: str
    aside:
      description: Hosts whose etcd data is moved aside first.
      type: list
      elements: str
    refusal:
      description: Why nothing may be done; empty else.
      type: str
"""

from dataclasses import asdict
from typing import Any

from ..module_utils._backup.restore import plan


def restore_plan(
    states: dict[str, Any],
    etcd_hosts: list[str],
    cluster: str,
    wanted: str = "latest",
    consent: str = "",
    survivor: str = "",
) -> dict[str, Any]:
    return asdict(plan(states, etcd_hosts, cluster, wanted, consent, survivor))


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"restore_plan": restore_plan}
