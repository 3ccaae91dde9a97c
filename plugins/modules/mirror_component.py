#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_component
short_description: Bring one component's files and images into a mirror
version_added: 0.1.0
description:
  - Builds a component from its pinned Go modules, or downloads it from upstream and verifies it, and puts its files
    and images into a mirror on this machine. Files are laid out as upstream has them, below C(files/), images go into
    the storage of a registry, below C(registry/).
  - What was built once is not built again as long as nothing that decides its content has changed.
author:
  - Caravan contributors (@caravan-cluster)
options:
  name:
    description: The component's name in the catalogue.
    type: str
    required: true
  version:
    description: Its version, without a leading V(v).
    type: str
    required: true
  architecture:
    description: The architecture.
    type: str
    default: amd64
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.mirror
"""

EXAMPLES = r"""
- name: Build etcd for the mirror
  caravan.cluster.mirror_component:
    name: etcd
    version: 3.6.8
    catalogue_dir: roles/artifacts/files/catalogue
    build_dir: roles/artifacts/files/build
    data_dir: /srv/mirror
    cache_dir: /var/cache/caravan
"""

RETURN = r"""
files:
  description: The files that the component has in the mirror.
  returned: when something was done
  type: list
  elements: dict
  sample: [{name: etcd, version: 3.6.8, architecture: amd64, sha256: 6b86b2, size: 24508896}]
images:
  description: The images that the component has in the mirror.
  returned: when something was done
  type: list
  elements: dict
  sample: []
elapsed_seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 41.2
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts.arguments import mirror, mirror_arguments
from ..module_utils._artifacts.errors import ArtifactError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **mirror_arguments(),
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "architecture": {"type": "str", "default": "amd64"},
        },
        supports_check_mode=True,
    )
    started = time.monotonic()
    name, version, arch = (module.params[key] for key in ("name", "version", "architecture"))
    filled = {}
    try:
        target = mirror(module.params)
        wanted = target.missing([{"name": name, "version": version}], [arch], module.params["fill"])
        if wanted and not module.check_mode:
            with target.locked():
                wanted = target.missing([{"name": name, "version": version}], [arch], module.params["fill"])
                if wanted:
                    state = target.fill(name, version, arch, module.params["fill"])
                    filled = {key: state[key] for key in ("files", "images")}
    except ArtifactError as error:
        module.fail_json(msg=f"{name} {version}: {error}")
    line = f"{name} {version} ({arch})"
    module.exit_json(
        changed=bool(wanted),
        elapsed_seconds=round(time.monotonic() - started, 1),
        diff={"before": "", "after": f"{line}\n" if wanted else ""},
        **filled,
    )


if __name__ == "__main__":
    main()
