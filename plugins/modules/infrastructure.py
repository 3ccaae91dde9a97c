#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: infrastructure
short_description: Bring a cluster's machines, network and all else at a provider to what its description says
version_added: 0.3.0
description:
  - Looks at everything that carries the cluster's two ownership tags, plans, and does what is missing, as much of it at
    the same time as can be. What does not carry both tags is never touched, and there is no state file.
  - In check mode it does everything but the last step, so the plan is the true one. It contains what is made only later
    by its name, such as C(<subnet/eu-central-1a>).
  - A difference that others made is reported as drift, and left unless O(revert_drift=true).
  - Machines with etcd or a control plane are replaced or removed one at a time, and not while another one is missing.
    The rest is put off to later runs; let the cluster take its new machine in before.
  - A run that was interrupted is finished by the next one.
  - Runs on the controller, where the provider's Python package has to be installed.
author:
  - Caravan contributors (@caravan-cluster)
options:
  provider:
    description: The provider.
    type: str
    choices: [aws, azure, baremetal, local, openstack]
    required: true
  settings:
    description: >-
      The provider's own settings, such as its region. The guide of each provider lists them. Credentials are none of
      them: they come from where the provider's own tools look for them.
    type: dict
    default: {}
  secrets:
    description: >-
      Secrets of a provider whose tools look for them nowhere, such as the passwords of management controllers. The
      guide of each provider lists them. Keep them in Ansible Vault.
    type: dict
    default: {}
  description:
    description: >-
      The infrastructure, the same for all providers. The variables of the role
      P(caravan.cluster.infrastructure#role) are its parts, and say what each may hold. The port table is added where
      it is missing.
    type: dict
    required: true
  state:
    description:
      - V(absent) takes everything away that is the cluster's own. Buckets, keys and volumes stay, with what they need,
        unless O(delete_data) names them.
    type: str
    choices: [present, absent]
    default: present
  revert_drift:
    description: Whether to bring back what others have changed.
    type: bool
    default: false
  delete_data:
    description: >-
      What holds data and may be deleted with it, once it is not wanted any more: C(bucket/NAME), C(key/NAME),
      C(volume/MACHINE-DISK).
    type: list
    elements: str
    default: []
  consent:
    description: The cluster's name, without which a plan that deletes anything is refused. Not needed in check mode.
    type: str
    default: ""
  save_plan:
    description: A file on the controller for the plan, to be looked at and approved. Written in check mode as well.
    type: path
  approved_plan:
    description:
      - A file that O(save_plan) wrote. The run is refused unless it comes to the very same plan, in the same world.
    type: path
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Bring the infrastructure to what the inventory says
  caravan.cluster.infrastructure:
    provider: aws
    settings: {region: eu-central-1}
    description:
      name: prod
      endpoint: {host: api.prod.example.org}
      network: {cidr: 10.0.0.0/16}
      pools:
        - name: cp
          roles: [etcd, control_plane]
          count: 3
          cpu: 2
          memory_gib: 8
          root_disk: {size_gib: 50}
  register: infrastructure
  diff: true

- name: Take it away, with the bucket of its backups
  caravan.cluster.infrastructure:
    provider: aws
    settings: {region: eu-central-1}
    description: "{{ description }}"
    state: absent
    delete_data: [bucket/backup]
    consent: prod
"""

RETURN = r"""
plan:
  description: One line for each step, then what is left as it is, and why.
  returned: always
  type: list
  elements: str
  sample:
    - create machine/worker-3
    - "drift security_group/etcd (ingress: [] -> [[\"tcp\", 2379, 2380, \"10.0.0.0/16\"]])"
    - keep volume/worker-4-data (it holds data)
drift:
  description: What others have changed and this run leaves as it is.
  returned: always
  type: list
  elements: dict
  contains:
    key:
      description: The resource.
      type: str
      sample: security_group/etcd
    field:
      description: Its property.
      type: str
      sample: ingress
decisions:
  description: What the description leaves to the provider, or the provider lacks, and what is done about it.
  returned: always
  type: list
  elements: dict
  contains:
    about:
      description: The part of the description.
      type: str
      sample: endpoint.mode
    chosen:
      description: What is done.
      type: str
      sample: vip
    because:
      description: Why.
      type: str
      sample: baremetal has no load balancer
fingerprint:
  description: Changes whenever the infrastructure or its description does.
  returned: always
  type: str
  sample: f63bf7fac94be8ec92c2c7ed-787bf5ccea9cc9bd262b70be
outputs:
  description: >-
    What the cluster has to know of its infrastructure: endpoint, failure domains, machines, buckets, DNS, identities,
    keys, storage classes and cloud controller. The same schema for all providers.
  returned: when O(state=present), and not in check mode unless there is nothing to do
  type: dict
  sample: {provider: aws, cluster: prod, infra_id: prod-1f2e3, machines: [{name: worker-1, id: i-0123456789abcdef0}]}
elapsed_seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 1.4
"""
