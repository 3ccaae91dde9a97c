#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_reset
short_description: Take a cluster's services, data and network devices off a host
version_added: 0.1.0
description:
  - Stops and disables services, ends the containers they left running, removes directories, files, network devices and
    packet filter tables. What is not there is passed over, so an interrupted reset can be run again.
  - Destroys data. The playbooks that call it ask for consent first.
author:
  - Caravan contributors (@caravan-cluster)
options:
  units:
    description: systemd units, in the order in which they are stopped.
    type: list
    elements: str
    default: []
  paths:
    description:
      - Files and directories to remove. What is mounted inside is unmounted first. Of a directory that is itself a
        mount point only the content is removed.
    type: list
    elements: path
    default: []
  links:
    description: Network devices to delete.
    type: list
    elements: str
    default: []
  tables:
    description: nftables tables to delete, each as family and name.
    type: list
    elements: str
    default: []
  shim:
    description: Name of the process that holds a container; what runs under it is ended after the units have stopped.
    type: str
    default: containerd-shim-runc-v2
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Take the cluster off this host
  caravan.cluster.host_reset:
    units: [kubelet.service, containerd.service, etcd.service]
    paths: [/etc/kubernetes, /var/lib/kubelet, /var/lib/etcd]
    links: [cni0, flannel.1]
    tables: ["ip kube-proxy"]
"""

RETURN = r"""
removed:
  description: What was stopped or removed (in check mode, what would be), one line each.
  returned: always
  type: list
  elements: str
  sample: [unit kubelet.service, path /etc/kubernetes, link cni0]
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


class Reset:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.removed: list[str] = []

    def run(self) -> None:
        for unit in self.module.params["units"]:
            self._unit(unit)
        self._processes(self.module.params["shim"])
        for path in self.module.params["paths"]:
            self._path(Path(path))
        for link in self.module.params["links"]:
            if Path("/sys/class/net", link).exists():
                self._do(f"link {link}", ["ip", "link", "delete", link])
        for table in self._present_tables():
            self._do(f"table {table}", ["nft", "delete", "table", *table.split()])

    def _unit(self, unit: str) -> None:
        code, out, _err = self.module.run_command(
            ["systemctl", "show", "--property=ActiveState,UnitFileState,LoadState", unit]
        )
        state = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        if code != 0 or state.get("LoadState") != "loaded":
            return
        if state.get("ActiveState") in ("inactive", "failed") and state.get("UnitFileState") != "enabled":
            return
        self._do(f"unit {unit}", ["systemctl", "disable", "--now", unit])

    def _processes(self, shim: str) -> None:
        shims = list(_pids_of(shim))
        if not shims:
            return
        self.removed.append(f"{len(shims)} running containers")
        if self.module.check_mode:
            return
        # Children first: a shim that goes first leaves its container to init.
        for pid in [*_descendants(shims), *shims]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + 10
        while list(_pids_of(shim)) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _path(self, path: Path) -> None:
        if path.is_symlink() or path.is_file():
            self.removed.append(f"path {path}")
            if not self.module.check_mode:
                path.unlink()
            return
        if not path.is_dir():
            return
        mounted = os.path.ismount(path)
        if mounted and not any(path.iterdir()):
            return
        self.removed.append(f"path {path}")
        if self.module.check_mode:
            return
        for mount in _mounts_below(path, Path("/proc/self/mounts").read_text(encoding="utf-8")):
            self._run(["umount", "--lazy", mount])
        for child in path.iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
        if not mounted:
            path.rmdir()

    def _present_tables(self) -> list[str]:
        if not self.module.params["tables"] or not self.module.get_bin_path("nft"):
            return []
        _code, out, _err = self.module.run_command(["nft", "list", "tables"])
        present = {line[len("table ") :].strip() for line in out.splitlines() if line.startswith("table ")}
        return [table for table in self.module.params["tables"] if table in present]

    def _do(self, what: str, command: list[str]) -> None:
        self.removed.append(what)
        if not self.module.check_mode:
            self._run(command)

    def _run(self, command: list[str]) -> None:
        code, out, err = self.module.run_command(command)
        if code != 0:
            self.module.fail_json(
                msg=f"'{' '.join(command)}' failed ({code}): {(err or out).strip()}", removed=self.removed
            )


def _pids_of(name: str) -> Iterator[int]:
    """PIDs of the processes whose executable is called `name` (the kernel's own name of 15 characters would not do)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "exe").readlink().name == name:
                yield int(entry.name)
        except OSError:
            continue


def _descendants(roots: list[int]) -> list[int]:
    """All processes below `roots`, deepest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold spaces; the parent is the second field after it.
            parent = int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    level = roots
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found = level + found
    return found


def _mounts_below(path: Path, mounts: str) -> list[str]:
    """Mount points strictly below `path`, deepest first. `mounts` is the text of /proc/self/mounts."""
    prefix = f"{path}/"
    points = {line.split()[1].replace("\\040", " ") for line in mounts.splitlines() if line}
    return sorted((point for point in points if point.startswith(prefix)), key=len, reverse=True)


def argument_spec() -> dict:
    return {
        "units": {"type": "list", "elements": "str", "default": []},
        "paths": {"type": "list", "elements": "path", "default": []},
        "links": {"type": "list", "elements": "str", "default": []},
        "tables": {"type": "list", "elements": "str", "default": []},
        "shim": {"type": "str", "default": "containerd-shim-runc-v2"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    reset = Reset(module)
    reset.run()
    module.exit_json(
        changed=bool(reset.removed),
        removed=reset.removed,
        diff={"before": "".join(f"{line}\n" for line in reset.removed), "after": ""},
    )


if __name__ == "__main__":
    main()
