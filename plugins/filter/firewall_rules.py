# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_rules
short_description: Turn the port table into nftables rules for one host
version_added: 0.1.0
description:
  - Picks from a port table what a host of the given groups listens on, and renders one nftables rule for each port.
author:
  - Caravan contributors (@caravan-cluster)
positional: _input
options:
  _input:
    description: The port table, as in C(roles/node/vars/ports.yml).
    type: list
    elements: dict
    required: true
  groups:
    description: The groups that the host is in.
    type: list
    elements: str
    required: true
  networks:
    description: The networks that each name among the sources of a port stands for.
    type: dict
    required: true
  features:
    description: Optional parts that are in use. An entry with a C(feature) counts only when it is among them.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show the rules of this host
  ansible.builtin.debug:
    msg: >-
      {{ [{'name': 'etcd', 'protocol': 'tcp', 'port': 2379, 'groups': ['etcd'], 'sources': ['nodes'], 'why': 'clients'}]
         | caravan.cluster.firewall_rules(groups=['etcd'], networks={'nodes': ['192.0.2.0/24']}) }}
"""

RETURN = r"""
_value:
  description: The rules.
  type: list
  elements: str
  sample: ['ip saddr { 192.0.2.0/24 } tcp dport 2379 accept comment "etcd"']
"""

from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils._host.firewall import host_ports, input_rules


def firewall_rules(
    table: list[dict], groups: list[str], networks: dict[str, list[str]], features: list[str] | None = None
) -> list[str]:
    try:
        return input_rules(host_ports(table, groups, features or []), networks)
    except (KeyError, ValueError) as error:
        raise AnsibleFilterError(f"firewall_rules: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"firewall_rules": firewall_rules}
