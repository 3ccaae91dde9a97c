#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authority_plan
short_description: Plan the rotation of certificate authorities
version_added: 0.2.0
description:
  - Runs on the controller, once for all hosts, and reads the results of M(caravan.cluster.authority_info) registered as
    C(__authority_rotation_seen) and of M(caravan.cluster.identity_held) registered as C(__authority_rotation_held).
    Decides what is to be done, from what is seen alone; a rotation that was interrupted is completed, without another
    authority.
  - Refuses where a host was not looked at, where a component is not healthy, or where a host's key fits none of its
    certificates.
  - The result contains keys and is never shown. The steps are meant to be shown.
author:
  - Caravan contributors (@caravan-cluster)
options:
  hosts:
    description: All hosts of the cluster, reached or not.
    type: list
    elements: str
    required: true
  authorities:
    description: Which authorities are to be replaced.
    type: list
    elements: str
    choices: [kubernetes, front_proxy, etcd]
    required: true
  published:
    description: >-
      Which certificates the cluster's objects name, and which of them name others than the trusted ones, as
      M(caravan.cluster.authority_published) returns it.
    type: dict
    required: true
  key_algorithm:
    description: Algorithm of the new keys.
    type: str
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096]
    default: ecdsa-p256
  validity_days:
    description: Validity of the new authorities, in days.
    type: int
    default: 3650
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details: A rotation that is complete is followed by the next one, with another authority.
"""

EXAMPLES = r"""
- name: Decide what is to be done
  caravan.cluster.authority_plan:
    hosts: "{{ groups['cluster'] }}"
    authorities: [kubernetes, front_proxy, etcd]
    published: "{{ __authority_rotation_published }}"
  register: __authority_rotation_plan
  run_once: true
"""

RETURN = r"""
begun:
  description: Whether an earlier rotation was found unfinished, and is completed.
  returned: success
  type: bool
  sample: false
rotated:
  description: The authorities that are replaced.
  returned: success
  type: list
  elements: str
  sample: [kubernetes, etcd]
fingerprints:
  description: The new authorities, in words.
  returned: success
  type: str
  sample: kubernetes 0c5f71aa03b2, etcd 91d2c0ab77e1
newest:
  description: The certificates that are to be the only ones, by authority that is replaced.
  returned: success
  type: dict
  sample: {etcd: "-----BEGIN CERTIFICATE-----..."}
told:
  description: What is to be done, in order, in words.
  returned: success
  type: list
  elements: str
  sample: ["etcd: have the old and the new authority trusted on cp1, cp2"]
restart:
  description: Whether pods have to learn of a new authority.
  returned: success
  type: bool
  sample: true
sign:
  description: What kubeadm has to issue again on each host.
  returned: success
  type: dict
  sample: {cp1: [apiserver, scheduler.conf]}
approver:
  description: Whether the approver of each host needs other credentials.
  returned: success
  type: dict
  sample: {cp1: true}
kubelet:
  description: Whether the kubelet of each host has to ask for certificates again.
  returned: success
  type: dict
  sample: {cp1: true, worker1: true}
targets:
  description: The files of each host after each step, for M(caravan.cluster.files). Secret.
  returned: success
  type: dict
  sample: {}
"""
