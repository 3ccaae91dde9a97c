#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_settled
short_description: Settle the cluster's identity from what its hosts hold
version_added: 0.1.0
description:
  - Runs on the controller, once for all hosts, and reads the results of M(caravan.cluster.identity_held) registered as
    C(__identity_held). Keeps what hosts hold, and makes new keys in memory only where no host can hold any.
  - Refuses where hosts hold different files, or where a key is missing that a living cluster needs.
  - The result contains private keys and is never shown. It is meant for M(caravan.cluster.identity_files).
author:
  - Caravan contributors (@caravan-cluster)
options:
  cluster_name:
    description: The cluster's name, which a consent has to repeat.
    type: str
    required: true
  create_consent:
    description: The cluster's name, to have missing keys made although they may exist somewhere.
    type: str
    default: ""
  hosts:
    description: All hosts that hold a part of the identity, reached or not.
    type: list
    elements: str
    required: true
  key_algorithm:
    description: Algorithm of new keys.
    type: str
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096]
    default: ecdsa-p256
  ca_validity_days:
    description: Validity of a new certificate authority, in days.
    type: int
    default: 3650
  encrypted_resources:
    description: Kubernetes resources a new encryption configuration covers.
    type: list
    elements: str
    default: [secrets]
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Settle the cluster's identity
  caravan.cluster.identity_settled:
    cluster_name: "{{ cluster_name }}"
    hosts: "{{ groups['etcd'] | union(groups['control_plane']) }}"
  register: __identity_settled
  run_once: true
"""

RETURN = r"""
identity:
  description: The contents of the identity's files, by name. Secret.
  returned: success
  type: dict
  sample: {}
made:
  description: What is new.
  returned: success
  type: list
  elements: str
  sample: [kubernetes_ca, etcd_ca]
"""
