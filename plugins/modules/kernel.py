#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel
short_description: Load kernel modules, set sysctls and turn swap off, now
version_added: 0.1.0
description:
  - Brings the running kernel to the wanted state. What makes it last over a reboot are files in
    C(/etc/modules-load.d) and C(/etc/sysctl.d), which M(caravan.cluster.files) writes.
  - Compares running values, so that a setting which something else changed meanwhile is found and repaired.
author:
  - Caravan contributors (@caravan-cluster)
options:
  modules:
    description: Modules that must be loaded or built in. On a kernel without loadable modules there is nothing to do.
    type: list
    elements: str
    default: []
  sysctls:
    description: Settings and their values.
    type: dict
    default: {}
  sysctls_optional:
    description: Patterns (as in a shell) of settings that a kernel may lack. Any other that is missing is an error.
    type: list
    elements: str
    default: []
  swap_off:
    description:
      - Whether to turn off all swap and to comment it out in C(/etc/fstab), which can be undone by hand at any time.
      - Refused where the memory in use would not fit without swap.
      - In a container nothing is done, since swap belongs to its host.
    type: bool
    default: false
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Make the kernel ready for pods
  caravan.cluster.kernel:
    modules: [overlay, br_netfilter]
    sysctls:
      net.ipv4.ip_forward: 1
      net.bridge.bridge-nf-call-iptables: 1
    sysctls_optional: ["net.bridge.*"]
    swap_off: true
"""

RETURN = r"""
loaded:
  description: Modules that were loaded.
  returned: always
  type: list
  elements: str
  sample: [br_netfilter]
set:
  description: Settings that were changed, with their new values.
  returned: always
  type: dict
  sample: {net.ipv4.ip_forward: "1"}
swapped_off:
  description: Swap devices and files that were turned off.
  returned: always
  type: list
  elements: str
  sample: [/dev/sda2]
"""

import fnmatch
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.kernel import active_swap, available_kib, missing_modules, sysctl_changes, without_swap

FSTAB = Path("/etc/fstab")


def argument_spec() -> dict:
    return {
        "modules": {"type": "list", "elements": "str", "default": []},
        "sysctls": {"type": "dict", "default": {}},
        "sysctls_optional": {"type": "list", "elements": "str", "default": []},
        "swap_off": {"type": "bool", "default": False},
    }


def read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def sysctl_path(key: str) -> str:
    # A dot inside an interface name is written as a slash, as sysctl(8) has it.
    return "/proc/sys/" + key.replace(".", "\0").replace("/", ".").replace("\0", "/")


def load_modules(module: AnsibleModule) -> list[str]:
    wanted = module.params["modules"]
    builtin = read(f"/lib/modules/{os.uname().release}/modules.builtin") or ""
    present = {entry.name for entry in Path("/sys/module").iterdir()} if Path("/sys/module").is_dir() else set()
    missing = missing_modules(wanted, read("/proc/modules"), builtin, present)
    if missing and not module.check_mode:
        modprobe = module.get_bin_path("modprobe", required=True)
        code, out, err = module.run_command([modprobe, "--all", *missing])
        if code != 0:
            module.fail_json(msg=f"the kernel modules {', '.join(missing)} cannot be loaded: {(err or out).strip()}")
    return missing


def set_sysctls(module: AnsibleModule, loaded: list[str]) -> tuple[dict[str, str], dict[str, str | None]]:
    wanted = {key: str(value) for key, value in module.params["sysctls"].items()}
    current = {key: read(sysctl_path(key)) for key in wanted}
    for key, value in current.items():
        optional = any(fnmatch.fnmatchcase(key, pattern) for pattern in module.params["sysctls_optional"])
        # In check mode a module that would bring the setting along has not been loaded.
        if value is None and not optional and not (module.check_mode and loaded):
            module.fail_json(msg=f"this kernel does not know the setting {key}")
    changes = sysctl_changes(wanted, current)
    if not module.check_mode:
        for key, value in changes.items():
            try:
                Path(sysctl_path(key)).write_text(value, encoding="utf-8")
            except OSError as error:
                module.fail_json(msg=f"{key} cannot be set to {value}: {error.strerror}")
    return changes, current


def in_container() -> bool:
    return Path("/run/systemd/container").exists() or Path("/run/.containerenv").exists()


def swap_off(module: AnsibleModule) -> tuple[list[str], bool]:
    if not module.params["swap_off"] or in_container():
        return [], False
    active = active_swap(read("/proc/swaps") or "")
    used, available = sum(kib for _, kib in active), available_kib(read("/proc/meminfo") or "")
    if active and used > available:
        module.fail_json(
            msg=f"swap cannot be turned off: {used} KiB are in use and only {available} KiB of memory are available"
        )
    fstab = read(str(FSTAB)) or ""
    changed_fstab = without_swap(fstab)
    stale = changed_fstab != fstab
    if not module.check_mode:
        if stale:
            temporary = FSTAB.with_name(".fstab.caravan")
            temporary.write_text(changed_fstab, encoding="utf-8")
            module.atomic_move(str(temporary), str(FSTAB))
        if active:
            program = module.get_bin_path("swapoff", required=True)
            code, out, err = module.run_command([program, *(device for device, _ in active)])
            if code != 0:
                module.fail_json(msg=f"swapoff failed: {(err or out).strip()}")
    return [device for device, _ in active], stale


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    loaded = load_modules(module)
    changes, before = set_sysctls(module, loaded)
    swapped_off, fstab = swap_off(module)
    old = [f"{key} = {str(before[key]).strip()}" for key in changes]
    new = [f"module {name}" for name in loaded] + [f"{key} = {value}" for key, value in changes.items()]
    old += [f"swap {device}" for device in swapped_off] + (["swap in /etc/fstab"] if fstab else [])
    module.exit_json(
        changed=bool(loaded or changes or swapped_off or fstab),
        loaded=loaded,
        set=changes,
        swapped_off=swapped_off,
        diff={"before": "".join(f"{line}\n" for line in old), "after": "".join(f"{line}\n" for line in new)},
    )


if __name__ == "__main__":
    main()
