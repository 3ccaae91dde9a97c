#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_index
short_description: Write the index and the bill of materials of a mirror
version_added: 0.1.0
description:
  - Writes C(index.json), which lists every file with its sha256 and every image with its digest, and
    C(sbom.cdx.json), a software bill of materials in CycloneDX.
  - Both follow from what is in the mirror alone, so that writing them twice gives the same.
author:
  - Caravan contributors (@caravan-cluster)
options:
  data_dir:
    description: Directory of the mirror's content.
    type: path
    required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Write the mirror's index and bill of materials
  caravan.cluster.mirror_index:
    data_dir: /srv/mirror
"""

RETURN = r"""
files:
  description: How many files the mirror has.
  returned: success
  type: int
  sample: 8
images:
  description: How many images the mirror has.
  returned: success
  type: int
  sample: 10
bytes:
  description: The size of all files together.
  returned: success
  type: int
  sample: 327264841
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import index, sbom
from ..module_utils._artifacts.edges import write_atomically
from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._artifacts.filling import Mirror


def main() -> None:
    module = AnsibleModule(argument_spec={"data_dir": {"type": "path", "required": True}}, supports_check_mode=True)
    data = Path(module.params["data_dir"])
    try:
        states = Mirror({}, data, data, data).states()
        composed = index.compose(states)
        text = json.dumps(composed, indent=1, sort_keys=True) + "\n"
        written = []
        if _read(data / "index.json") != text:
            written.append("index.json")
            if not module.check_mode:
                data.mkdir(parents=True, exist_ok=True)
                write_atomically(data / "index.json", text)
        if sbom.serial_number(states) not in _read(data / "sbom.cdx.json"):
            written.append("sbom.cdx.json")
            if not module.check_mode:
                write_atomically(data / "sbom.cdx.json", sbom.compose(states))
    except (ArtifactError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(written),
        files=len(composed["files"]),
        images=len(composed["images"]),
        bytes=sum(file["size"] for file in composed["files"]),
        diff={"before": "", "after": "".join(f"{name}\n" for name in written)},
    )


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


if __name__ == "__main__":
    main()
