# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_unfit
short_description: Say why a backup cannot be restored on machines, though it is whole
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
  host:
    description: The host etcd is restored on.
    type: str
    required: true
  backup:
    description: What M(caravan.cluster.restore_source) verified.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what does not fit
  ansible.builtin.assert:
    that: states | caravan.cluster.restore_unfit(host='cp1', backup=verified.backup) | length == 0
"""

RETURN = r"""
_value:
  description: The reasons; empty where it can be restored.
  type: list
  elements: str
"""

from typing import Any

from ..module_utils._backup.restore import unfit


def restore_unfit(states: dict[str, Any], host: str, backup: dict[str, Any]) -> list[str]:
    return unfit(states, host, backup)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"restore_unfit": restore_unfit}
