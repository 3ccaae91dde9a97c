#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_probe
short_description: Read all that preflight must know of a host, in one call
version_added: 0.1.0
description:
  - Reads memory, CPUs, disks, kernel features, cgroups, the machine-id, addresses, the clock, listening TCP ports and
    the state of an existing Kubernetes node in a single remote call, and changes nothing.
  - Also gives the few facts roles choose their variables by, so that M(ansible.builtin.setup) is not needed.
  - The action part compares the host's clock with the controller's. A reading that was too slow to decide is repeated.
author:
  - Caravan contributors (@caravan-cluster)
options:
  ports:
    description: TCP ports of interest. Empty means every listening port.
    type: list
    elements: int
    default: []
  clock_only:
    description: Whether to read nothing but the clock.
    type: bool
    default: false
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Read what the hosts are
  caravan.cluster.host_probe:
    ports: [2379, 2380, 6443, 10250]
"""

RETURN = r"""
ansible_facts:
  description: Facts about the host.
  returned: always
  type: dict
  contains:
    caravan_host:
      description: What was seen.
      returned: always
      type: dict
      contains:
        memory_mib:
          description: Total memory, the limit that holds for it, and swap, in MiB.
          type: dict
          sample: {total: 3916, limit: 3916, swap: 0}
        cpus:
          description: CPUs that may be used.
          type: int
          sample: 2
        disks_mib:
          description: Free and total MiB, and the device, by directory.
          type: dict
          sample: {"/var/lib": {free: 20480, total: 40960, device: 2049}}
        kernel:
          description: Release, and every feature as V(yes), V(no) or V(unknown).
          type: dict
          sample: {release: 6.1.0-18-amd64, features: {overlay: "yes", vxlan: "yes"}}
        cgroup:
          description: Version, and the controllers that work.
          type: dict
          sample: {version: 2, controllers: [cpu, cpuset, memory, pids]}
        machine_id:
          description: The content of C(/etc/machine-id).
          type: str
          sample: 0f3c6d1b2a4e4c559a3a1d1a2b3c4d5e
        hostname:
          description: The host's own name for itself.
          type: str
          sample: cp1
        interfaces:
          description: Interfaces with global addresses.
          type: list
          elements: dict
          sample: [{name: eth0, mtu: 1500, addresses: [192.0.2.11/24]}]
        python:
          description: Version of the Python that ran the module.
          type: str
          sample: 3.11.2
        listeners:
          description: Listening TCP sockets and their owners.
          type: list
          elements: dict
          sample: [{port: 6443, address: 192.0.2.11, process: kube-apiserver, program: /usr/local/bin/kube-apiserver}]
        kubernetes:
          description: What of Kubernetes is there, and what the cluster's roles wrote down about it.
          type: dict
          sample: {kubelet_conf: true, admin_conf: false, manifests: {}, network_provider: flannel, record: {name: a}}
        uid:
          description: The user the module ran as.
          type: int
          sample: 0
        clock:
          description:
            - Epoch seconds on the host, and on the controller when the call was sent and received.
            - C(offset) is the host's clock minus the controller's, C(error) how far that may be off, in seconds.
          type: dict
          sample: {start: 1795161.12, end: 1795161.15, sent: 1795161.0, received: 1795161.3, offset: -0.01, error: 0.1}
    distribution:
      description: Name of the distribution, as M(ansible.builtin.setup) gives it.
      returned: always
      type: str
      sample: Debian
    distribution_release:
      description: Its code name.
      returned: always
      type: str
      sample: bookworm
    distribution_version:
      description: Its version.
      returned: always
      type: str
      sample: "12"
    distribution_major_version:
      description: The first part of its version.
      returned: always
      type: str
      sample: "12"
    os_family:
      description: The family it belongs to.
      returned: always
      type: str
      sample: Debian
    architecture:
      description: The processor's architecture.
      returned: always
      type: str
      sample: x86_64
    pkg_mgr:
      description: The package manager.
      returned: always
      type: str
      sample: apt
    service_mgr:
      description: The service manager.
      returned: always
      type: str
      sample: systemd
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._preflight import probe

ARGUMENTS = {
    "ports": {"type": "list", "elements": "int", "default": []},
    "clock_only": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.params["clock_only"]:
        now = time.time()
        module.exit_json(changed=False, clock={"start": now, "end": now})
    root = Path("/")
    seen = probe.observe(root, module.params["ports"])
    module.exit_json(changed=False, ansible_facts={**probe.distribution(root), "caravan_host": seen})


if __name__ == "__main__":
    main()
