# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_sources
short_description: Turn networks into nftables source matches
version_added: 0.1.0
description:
  - Renders networks of both address families as source matches of nftables, one for each family.
  - Networks that hold every address give one empty match.
author:
  - Caravan contributors (@caravan-cluster)
positional: _input
options:
  _input:
    description: The networks in CIDR notation.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the matches
  ansible.builtin.debug:
    msg: "{{ ['192.0.2.0/24', '2001:db8::/64'] | caravan.cluster.firewall_sources }}"
"""

RETURN = r"""
_value:
  description: The matches.
  type: list
  elements: str
  sample: ["ip saddr { 192.0.2.0/24 }", "ip6 saddr { 2001:db8::/64 }"]
"""

from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils._host.firewall import source_matches


def firewall_sources(networks: list[str]) -> list[str]:
    try:
        return source_matches(networks)
    except ValueError as error:
        raise AnsibleFilterError(f"firewall_sources: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"firewall_sources": firewall_sources}
