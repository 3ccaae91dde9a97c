#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_kubeconfig
short_description: Write the administrator's kubeconfig on the controller
version_added: 0.1.0
description:
  - Takes C(admin.conf) from the control-plane host that the task runs on, and writes it on the controller with another
    server.
  - The host is asked only when the controller has no kubeconfig, or one that is cut off, ends soon, is of another CA
    or names another server. The result carries no secret.
author:
  - Caravan contributors (@caravan-cluster)
options:
  path:
    description: Where it is written on the controller, mode 0600. A directory that is missing is made, mode 0700.
    type: path
    required: true
  cluster_name:
    description: The name of the cluster, which becomes the name of the context.
    type: str
    required: true
  server:
    description: The URL of the API.
    type: str
    required: true
  tls_server_name:
    description: The name in the API's certificate, where it is not the one in O(server).
    type: str
    default: ""
  ca_sha256:
    description: SHA-256 of the file C(ca.crt) of the cluster, as M(caravan.cluster.kubeadm_info) returns it.
    type: str
    required: true
  renew_before:
    description: How much of the certificate's time must be left, in hours.
    type: int
    default: 720
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
    details: The file is a secret.
"""

EXAMPLES = r"""
- name: Write the administrator's kubeconfig
  caravan.cluster.kubeadm_kubeconfig:
    path: .caravan/demo/kubeconfig
    cluster_name: demo
    server: https://api.demo.example.com:6443
    ca_sha256: "{{ seen.state.ca_sha256 }}"
  delegate_to: cp2
  run_once: true
"""

RETURN = r"""
reason:
  description: Why it was written; empty when it was not.
  type: str
  returned: success
  sample: there is none
"""

# The work is done by the action plugin of the same name.
