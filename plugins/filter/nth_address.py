# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: nth_address
short_description: Return the n-th address of a network
version_added: 0.1.0
description:
  - Counts from the network's own address, which is number 0. Needs no further Python library.
author:
  - Caravan contributors (@caravan-cluster)
positional: _input, number
options:
  _input:
    description: The network in CIDR notation.
    type: str
    required: true
  number:
    description: The number of the address.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show the address of cluster DNS, 10.96.0.10
  ansible.builtin.debug:
    msg: "{{ '10.96.0.0/16' | caravan.cluster.nth_address(10) }}"
"""

RETURN = r"""
_value:
  description: The address.
  type: str
"""

import ipaddress
from typing import Any

from ansible.errors import AnsibleFilterError


def nth_address(network: str, number: int) -> str:
    try:
        return str(ipaddress.ip_network(network)[number])
    except (ValueError, IndexError) as error:
        raise AnsibleFilterError(f"nth_address: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"nth_address": nth_address}
