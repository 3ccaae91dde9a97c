#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_files
short_description: Write what a host lacks of the cluster's identity
version_added: 0.1.0
description:
  - Compares, on the controller, what the host holds (C(__identity_held)) with the settled identity
    (C(__identity_settled)). Where nothing is missing, the host is not touched.
  - Otherwise issues the certificates of the host that are missing, do not fit, or have less than 30 % of their life
    left, and writes them with the missing shared files through M(caravan.cluster.files). A shared file that exists is
    never replaced.
  - On a member of etcd, certificates that are only old are not written here but returned as RV(due), for
    M(caravan.cluster.etcd_certificates) to renew them one member after another.
  - No content is shown, in no verbosity; the diff says why each file is written.
author:
  - Caravan contributors (@caravan-cluster)
options:
  renew_leaves:
    description: Issue the host's certificates anew whatever is left of their life.
    type: bool
    default: false
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.identity.leaves
"""

EXAMPLES = r"""
- name: Write what this host lacks
  caravan.cluster.identity_files:
    name: "{{ cluster_node_name }}"
    address: "{{ cluster_node_address }}"
"""

RETURN = r"""
changed_paths:
  description: The files that were written, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [/etc/etcd/pki/ca.crt]
due:
  description: The certificates that are left to be renewed one member after another, and why.
  returned: always
  type: dict
  sample: {/etc/etcd/pki/server.crt: 21% of its life is left}
reasons:
  description: Why, by path.
  returned: always
  type: dict
  sample: {/etc/etcd/pki/server.crt: missing}
"""
