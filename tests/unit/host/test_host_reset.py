# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import yaml
from ansible_collections.caravan.cluster.plugins.modules import host_reset

ROLE = Path(__file__).resolve().parents[3] / "roles" / "reset"
MOUNTS = """\
proc /proc proc rw 0 0
tmpfs /var/lib/kubelet/pods/a/volumes/token tmpfs rw 0 0
tmpfs /var/lib/kubelet/pods/a/volumes/token/sub\\040dir tmpfs rw 0 0
/dev/vda /var/lib/kubelet ext4 rw 0 0
/dev/vda /var/lib/kubelet-other ext4 rw 0 0
"""


def test_mounts_below_a_path_come_deepest_first_and_without_itself_or_its_neighbours() -> None:
    assert host_reset._mounts_below(Path("/var/lib/kubelet"), MOUNTS) == [
        "/var/lib/kubelet/pods/a/volumes/token/sub dir",
        "/var/lib/kubelet/pods/a/volumes/token",
    ]


def test_processes_are_found_by_executable_and_their_children_before_them() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    parent = subprocess.Popen([sys.executable, "-c", child])
    try:
        deadline = time.monotonic() + 10
        while not host_reset._descendants([parent.pid]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(host_reset._descendants([parent.pid])) == 1
        executable = Path(sys.executable).resolve().name
        assert parent.pid in set(host_reset._pids_of(executable))
    finally:
        for pid in host_reset._descendants([parent.pid]):
            subprocess.run(["kill", "-KILL", str(pid)], check=True)
        parent.kill()
        parent.wait()


def test_what_is_removed_lies_in_places_of_its_own() -> None:
    """A path such as /etc or /usr/local would take away what others put there."""
    paths = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())["reset_paths"]
    assert all(len(Path(path).parts) > 2 for path in paths)
    shared = {
        "/etc/systemd",
        "/etc/systemd/system",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/var/lib",
        "/var/log",
    }
    assert not shared & set(paths)
