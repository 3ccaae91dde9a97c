# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rclone_config
short_description: Write rclone's configuration for S3 stores
version_added: 0.2.0
description:
  - Returns the text of a configuration file with one remote for each store. It holds their secrets.
author:
  - Caravan contributors (@caravan-cluster)
options:
  _input:
    description:
      - The stores, as in C(etcd_backup_stores) of the role C(caravan.cluster.etcd_backup).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the configuration of rclone
  caravan.cluster.files:
    files:
      - content: "{{ etcd_backup_stores | caravan.cluster.rclone_config }}"
        dest: /etc/caravan/backup/rclone.conf
        mode: "0600"
        secret: true
"""

RETURN = r"""
_value:
  description: The text of the file.
  type: str
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils._backup.errors import BackupError
from ..module_utils._backup.stores import rclone_config as text_of


def rclone_config(stores: Sequence[Mapping[str, Any]]) -> str:
    try:
        return text_of([{name: str(value) for name, value in store.items() if value} for store in stores])
    except (BackupError, KeyError) as error:
        raise AnsibleFilterError(f"rclone_config: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"rclone_config": rclone_config}
