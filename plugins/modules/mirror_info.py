#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_info
short_description: Tell what a mirror lacks
version_added: 0.1.0
description:
  - Compares what is in a mirror on this machine with what is wanted of it, by the key of each component, which
    depends on all that decides its content (the catalogue's entry, the pinned modules, the compiler).
  - Changes nothing.
author:
  - Caravan contributors (@caravan-cluster)
options:
  components:
    description: The components that are wanted, each with its versions.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The component's name in the catalogue.
        type: str
        required: true
      versions:
        description: Its versions, without a leading V(v).
        type: list
        elements: str
        required: true
  architectures:
    description: The architectures.
    type: list
    elements: str
    default: [amd64]
  verify:
    description: Whether all content is read again and compared with its digests, in place of a look at sizes.
    type: bool
    default: false
attributes:
  diff_mode:
    support: none
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.mirror
"""

EXAMPLES = r"""
- name: See what the mirror lacks
  caravan.cluster.mirror_info:
    components: [{name: etcd, versions: [3.6.8]}]
    catalogue_dir: roles/artifacts/files/catalogue
    build_dir: roles/artifacts/files/build
    data_dir: /srv/mirror
    cache_dir: /var/cache/caravan
  register: __mirror
"""

RETURN = r"""
missing:
  description: What has to be brought into the mirror.
  returned: success
  type: list
  elements: dict
  sample: [{name: etcd, version: 3.6.8, architecture: amd64}]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts.arguments import mirror, mirror_arguments
from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._artifacts.filling import split_wanted


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **mirror_arguments(),
            "components": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "versions": {"type": "list", "elements": "str", "required": True},
                },
            },
            "architectures": {"type": "list", "elements": "str", "default": ["amd64"]},
            "verify": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        missing = mirror(module.params).missing(
            split_wanted(module.params["components"]),
            module.params["architectures"],
            module.params["fill"],
            module.params["verify"],
        )
    except ArtifactError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, missing=missing)


if __name__ == "__main__":
    main()
