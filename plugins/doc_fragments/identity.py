# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules for the cluster's identity. LEAVES are specified in module_utils/_identity/arguments.py."""

from __future__ import annotations


class ModuleDocFragment:
    """What a module is told of the host it runs on."""

    # Which of the shared files the host holds.
    DOCUMENTATION = r"""
options:
  parts:
    description: The parts the host has in the cluster.
    type: list
    elements: str
    choices: [etcd, control_plane]
    required: true
"""

    # What the host's own certificates say.
    LEAVES = r"""
options:
  name:
    description: The host's name in its certificates.
    type: str
    required: true
  address:
    description: The host's address in its certificates, at which others reach it.
    type: str
    required: true
  extra_names:
    description: More DNS names for etcd's server and peer certificates.
    type: list
    elements: str
    default: []
  key_algorithm:
    description: Algorithm of the certificates' keys.
    type: str
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096]
    default: ecdsa-p256
  leaf_validity_days:
    description: Validity of a new certificate, in days.
    type: float
    default: 365
"""
