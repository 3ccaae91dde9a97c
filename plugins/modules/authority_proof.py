#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authority_proof
short_description: Prove by whom all certificates of a cluster were signed
version_added: 0.2.0
description:
  - Runs on the controller, once for all hosts, and reads the results of M(caravan.cluster.authority_info) registered as
    C(__authority_rotation_seen). Fails, naming hosts and certificates, where a certificate on a disk or one that a port
    shows was signed by another authority.
author:
  - Caravan contributors (@caravan-cluster)
options:
  hosts:
    description: All hosts of the cluster.
    type: list
    elements: str
    required: true
  newest:
    description: The certificate of each authority, as M(caravan.cluster.authority_plan) returns it.
    type: dict
    required: true
  alone:
    description: Whether nothing else may be trusted, and nothing run that was started when something else was.
    type: bool
    default: false
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: See that everything was signed by the new authorities
  caravan.cluster.authority_proof:
    hosts: "{{ groups['cluster'] }}"
    newest: "{{ __authority_rotation_plan.newest }}"
  run_once: true
"""

RETURN = r"""
certificates:
  description: How many certificates were looked at.
  returned: success
  type: int
  sample: 41
"""
