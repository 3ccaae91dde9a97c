#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: encryption_plan
short_description: Plan the rotation of the keys for encryption at rest
version_added: 0.2.0
description:
  - Runs on the controller, once for all control-plane hosts, and reads the results of
    M(caravan.cluster.encryption_info) registered as C(__key_rotation_seen). Decides what is to be done next, from what
    is seen alone; a rotation that was interrupted is completed, without another key.
  - Refuses where a host was not looked at or its API server is not ready, where hosts have different keys of one name,
    or where etcd holds objects under a key that is lost.
  - The result contains keys and is never shown. The steps are meant to be shown.
author:
  - Caravan contributors (@caravan-cluster)
options:
  hosts:
    description: All control-plane hosts, reached or not.
    type: list
    elements: str
    required: true
  stored:
    description: How many objects etcd has under which key, as M(caravan.cluster.encryption_scan) returns it.
    type: dict
    required: true
  resources:
    description: The resources to be encrypted.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details: A rotation that is complete is followed by the next one, with another key.
"""

EXAMPLES = r"""
- name: Decide what is to be done
  caravan.cluster.encryption_plan:
    hosts: "{{ groups['control_plane'] }}"
    stored: "{{ __key_rotation_stored.keys }}"
    resources: [secrets]
  register: __key_rotation_plan
  run_once: true
"""

RETURN = r"""
newest:
  description: The name of the key that will be the only one.
  returned: success
  type: str
  sample: key-20260901-2
begun:
  description: Whether an earlier rotation was found unfinished, and is completed.
  returned: success
  type: bool
  sample: false
steps:
  description: What is to be done, in order, and where.
  returned: success
  type: list
  elements: dict
  sample: [{step: add, hosts: [cp1, cp2]}, {step: promote, hosts: [cp1, cp2]}, {step: rewrite, hosts: []}]
told:
  description: The same in words.
  returned: success
  type: list
  elements: str
  sample: ["add key-20260901-2 behind the keys of cp1, cp2"]
resources:
  description: The resources to be written again.
  returned: success
  type: list
  elements: str
  sample: [secrets]
targets:
  description: The configuration of each host after each step, and the digest of what it replaces. Secret.
  returned: success
  type: dict
  sample: {}
"""
