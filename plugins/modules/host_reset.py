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
    packet filter rules. What is not there is passed over, so an interrupted reset can be run again.
  - The kernel's settings stay as they are until the next boot.
  - Destroys data. The playbooks that call it ask for consent first.
author:
  - Caravan contributors (@caravan-cluster)
options:
  units:
    description: systemd units, in the order in which they are stopped. The first is what would restart containers.
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
  chains:
    description:
      - Prefixes of iptables chains to delete, with all rules that lead to them, in all tables. Other rules stay.
      - Prefixes of their sets (ipset) too, for addresses of either family.
    type: list
    elements: str
    default: []
  namespaces:
    description: Prefixes of network namespaces to delete, as a CNI runtime names them.
    type: list
    elements: str
    default: []
  shim:
    description: Name of the process that holds a container; what runs under it is ended after the first unit stopped.
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
    chains: [KUBE-]
    namespaces: [cni-]
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
        first, rest = self.module.params["units"][:1], self.module.params["units"][1:]
        for unit in first:
            self._unit(unit)
        # Before the others: etcd, asked to end, waits for the API server to hang up.
        self._processes(self.module.params["shim"])
        for unit in rest:
            self._unit(unit)
        for path in self.module.params["paths"]:
            self._path(Path(path))
        if any(line.startswith("path /etc/systemd/system/") for line in self.removed) and not self.module.check_mode:
            self._run(["systemctl", "daemon-reload"])
        for namespace in self._present_namespaces():
            self._do(f"network namespace {namespace}", ["ip", "netns", "delete", namespace])
        for link in self.module.params["links"]:
            if Path("/sys/class/net", link).exists():
                self._do(f"link {link}", ["ip", "link", "delete", link])
        for table in self._present_tables():
            self._do(f"table {table}", ["nft", "delete", "table", *table.split()])
        for family in ("iptables", "ip6tables"):
            self._chains(family)
        for name in self._present_sets():
            self._do(f"set {name}", ["ipset", "destroy", name])

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

    def _present_namespaces(self) -> list[str]:
        directory = Path("/run/netns")
        names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
        return [name for name in names if name.startswith(tuple(self.module.params["namespaces"]))]

    def _chains(self, family: str) -> None:
        if not self.module.params["chains"] or not self.module.get_bin_path(f"{family}-save"):
            return
        _code, saved, _err = self.module.run_command([f"{family}-save"])
        kept, chains = _without_chains(saved, self.module.params["chains"])
        if not chains:
            return
        self.removed.append(f"{len(chains)} chains of {family}")
        if not self.module.check_mode:
            # All tables in one step each: at no time is there half a rule set.
            self._run([f"{family}-restore"], data=kept)

    def _present_sets(self) -> list[str]:
        prefixes = self.module.params["chains"]
        if not prefixes or not self.module.get_bin_path("ipset"):
            return []
        _code, out, _err = self.module.run_command(["ipset", "list", "-name"])
        # Sets of the second address family have the name of the first's behind "inet6:".
        return [name for name in out.split() if name.rpartition(":")[2].startswith(tuple(prefixes))]

    def _do(self, what: str, command: list[str]) -> None:
        self.removed.append(what)
        if not self.module.check_mode:
            self._run(command)

    def _run(self, command: list[str], data: str | None = None) -> None:
        code, out, err = self.module.run_command(command, data=data)
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


def _without_chains(saved: str, prefixes: list[str]) -> tuple[str, set[str]]:
    """`saved`, as iptables-save prints it, without these chains and what leads there; and the names of these chains."""
    starts = tuple(prefixes)
    kept, chains = [], set()
    for line in saved.splitlines(keepends=True):
        words = line.split()
        if line.startswith(":") and words[0][1:].startswith(starts):
            chains.add(words[0][1:])
        elif line.startswith("-A ") and any(
            before in ("-A", "-j", "-g") and word.startswith(starts) for before, word in zip(words, words[1:])
        ):
            continue
        else:
            kept.append(line)
    return "".join(kept), chains


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
        "chains": {"type": "list", "elements": "str", "default": []},
        "namespaces": {"type": "list", "elements": "str", "default": []},
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
