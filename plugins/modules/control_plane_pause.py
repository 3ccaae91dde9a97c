#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane_pause
short_description: Stop the API server and the controllers of a host, and let them run again
version_added: 0.2.0
description:
  - Moves the static pods' manifests out of the kubelet's sight and waits until their processes have ended; or moves
    them back. Whether a host is paused is seen from where the manifests are, so that an interrupted run is made up for.
author:
  - Caravan contributors (@caravan-cluster)
options:
  state:
    description: What is wanted.
    type: str
    choices: [paused, running]
    required: true
  timeout:
    description: Seconds for the processes to end.
    type: float
    default: 120
extends_documentation_fragment:
  - caravan.cluster.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Stop the API server and the controllers
  caravan.cluster.control_plane_pause:
    state: paused
"""

RETURN = r"""
moved:
  description: The components whose manifests were moved.
  returned: always
  type: list
  elements: str
  sample: [kube-apiserver, kube-controller-manager, kube-scheduler]
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kubeadm.planner import CONTROL_PLANE_MANIFESTS
from ..module_utils._kubeadm.systemd import processes
from ..module_utils._restore.host import MANIFESTS, PAUSED


def argument_spec() -> dict:
    return {
        "state": {"type": "str", "choices": ["paused", "running"], "required": True},
        "timeout": {"type": "float", "default": 120},
    }


def move(paused: bool, check_mode: bool) -> list[str]:
    source, target = (MANIFESTS, PAUSED) if paused else (PAUSED, MANIFESTS)
    moved = [name for name in CONTROL_PLANE_MANIFESTS if (source / f"{name}.yaml").exists()]
    if moved and not check_mode:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in moved:
            (source / f"{name}.yaml").replace(target / f"{name}.yaml")
    return moved


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    paused = module.params["state"] == "paused"
    try:
        moved = move(paused, module.check_mode)
        deadline = time.monotonic() + module.params["timeout"]
        while paused and not module.check_mode:
            running = [name for name in CONTROL_PLANE_MANIFESTS if processes(name)]
            if not running:
                break
            if time.monotonic() >= deadline:
                module.fail_json(
                    msg=f"{', '.join(running)} still run {module.params['timeout']:.0f} s after their manifests were "
                    "taken away. Does the kubelet run (systemctl status kubelet)?",
                    moved=moved,
                )
            time.sleep(0.3)
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(moved), moved=moved)


if __name__ == "__main__":
    main()
