#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check a whole inventory, or all its hosts, and report every problem at once
version_added: 0.1.0
description:
  - Runs on the controller only. It contacts no host, apart from the artifact mirror where one is used.
  - With O(check=inventory), checks the variables of all hosts of the group C(cluster) and of its child groups against
    the argument specifications of this collection's roles, and what must hold between them.
  - With O(check=hosts), checks what M(caravan.cluster.host_probe) saw on the hosts before.
  - To be used with C(run_once), so that a failure stops the play for every host.
author:
  - Caravan contributors (@caravan-cluster)
options:
  check:
    description: What to check.
    type: str
    choices: [inventory, hosts]
    required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Check the inventory
  caravan.cluster.preflight:
    check: inventory
  run_once: true
"""

RETURN = r"""
checked:
  description: Number of hosts that were looked at.
  returned: always
  type: int
  sample: 5
problems:
  description: Number of different problems.
  returned: always
  type: int
  sample: 0
"""
