# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a node can be compared before and after: files, units, packet filter, kernel settings."""

from __future__ import annotations

from typing import Any

from .remote import Nodes

# Connecting and looking leaves these behind: Ansible's own temporary folder, log-ins, random seeds, timers' stamps.
_VOLATILE = ["/root/.ansible", "/root/.cache", "/var/lib/systemd", "/var/lib/private", "/var/lib/apt/periodic"]
_DIRECTORIES = ["/etc", "/usr/local", "/usr/lib/systemd", "/opt", "/root", "/srv", "/var/lib"]
_SETTINGS = ["net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic", "fs/inotify/max_user_watches"]

_SCRIPT = """
import os, subprocess
state = {}
for top in ARGUMENT["directories"]:
    for directory, names, files in os.walk(top):
        names[:] = [n for n in names if os.path.join(directory, n) not in ARGUMENT["volatile"]]
        for path in [directory] + [os.path.join(directory, name) for name in files]:
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue
            stamp = "" if path == directory else " %d %d" % (found.st_size, found.st_mtime_ns)
            state["file " + path] = "%o %d:%d%s" % (found.st_mode, found.st_uid, found.st_gid, stamp)
def lines(kind, *command):
    output = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True).stdout
    for line in output.splitlines():
        state[kind + " " + " ".join(line.split()[:2])] = ""
lines("unit file", "systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain")
lines("running", "systemctl", "list-units", "--state=running", "--type=service", "--no-legend", "--plain", "--no-pager")
ruleset = subprocess.run(["nft", "--stateless", "list", "ruleset"], stdout=subprocess.PIPE)
state["packet filter"] = ruleset.stdout.decode()
for name in ARGUMENT["settings"]:
    try:
        state["setting " + name] = open("/proc/sys/" + name).read().strip()
    except OSError:
        pass
print(json.dumps(state))
"""


def snapshot(nodes: Nodes, name: str) -> dict[str, str]:
    """Return what there is on a node, as thing -> state."""
    argument = {"directories": _DIRECTORIES, "volatile": _VOLATILE, "settings": _SETTINGS}
    found: dict[str, str] = nodes.python(name, _SCRIPT, argument)
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what came, went or became different."""
    return sorted(
        [f"new: {thing}" for thing in after.keys() - before.keys()]
        + [f"gone: {thing}" for thing in before.keys() - after.keys()]
        + [
            f"changed: {thing}: {before[thing]} -> {after[thing]}"
            for thing in before.keys() & after.keys()
            if before[thing] != after[thing]
        ]
    )
