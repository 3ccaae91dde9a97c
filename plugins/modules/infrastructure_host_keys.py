#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: infrastructure_host_keys
short_description: Keep the SSH host keys of a cluster's machines, as they told them on their consoles
version_added: 0.3.0
description:
  - Machines make their host keys at their first boot, and write the public ones on their console, where the provider's
    API has them. So a controller knows a machine's keys before it connects to it, and never takes one on trust from the
    network.
  - Keys are read once in a machine's life. A machine that takes another one's place has another id, and keys of its
    own.
  - In the file a machine goes by its id. C(ssh) finds it with C(-o HostKeyAlias={{ infrastructure_machine.id }}),
    whatever its address is.
  - Waits for machines that have not told their keys yet, but not in check mode.
  - Runs on the controller, where the provider's Python package has to be installed. The provider has to give consoles,
    as AWS, Azure and OpenStack do.
author:
  - Caravan contributors (@caravan-cluster)
options:
  provider:
    description: The provider.
    type: str
    choices: [aws, azure, openstack]
    required: true
  settings:
    description: As in M(caravan.cluster.infrastructure).
    type: dict
    default: {}
  description:
    description: As in M(caravan.cluster.infrastructure).
    type: dict
    required: true
  path:
    description: The file of known hosts. It holds the keys of this cluster's machines and nothing else.
    type: path
    required: true
  timeout:
    description: For how many seconds a new machine's console is asked.
    type: float
    default: 600
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Keep the host keys of new machines
  caravan.cluster.infrastructure_host_keys:
    provider: aws
    settings: {region: eu-central-1}
    description: "{{ description }}"
    path: .caravan/prod/known_hosts
"""

RETURN = r"""
added:
  description: The machines whose keys are new in the file.
  returned: always
  type: list
  elements: str
  sample: [worker-3]
gone:
  description: The ids of machines that are gone, and their keys with them.
  returned: always
  type: list
  elements: str
  sample: [i-0123456789abcdef0]
elapsed_seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 21.4
"""
