# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that all etcd modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """How a module reaches the cluster, and where a member's parts lie."""

    DOCUMENTATION = r"""
options:
  name:
    description: Name of the member.
    type: str
    required: true
  members:
    description: The members the inventory wants.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      peer_url:
        description: Where the other members reach it.
        type: str
        required: true
      client_url:
        description: Where clients reach it.
        type: str
        required: true
  local_url:
    description: Where the host itself reaches its own member.
    type: str
    default: https://127.0.0.1:2379
  data_dir:
    description: The member's data directory.
    type: path
    default: /var/lib/etcd
  ca_certificate:
    description: Certificate of etcd's authority.
    type: path
    default: /etc/etcd/pki/ca.crt
  client_certificate:
    description: Certificate to authenticate with.
    type: path
    default: /etc/etcd/pki/client.crt
  client_key:
    description: Its key.
    type: path
    default: /etc/etcd/pki/client.key
  watched_files:
    description: Files, and the program, that a running etcd must not be older than.
    type: list
    elements: path
    default: [/etc/etcd/etcd.yml, /etc/systemd/system/etcd.service, /usr/local/bin/etcd]
"""
