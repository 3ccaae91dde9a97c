# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.caravan.cluster.plugins.module_utils._host.kernel import (
    active_swap,
    available_kib,
    missing_modules,
    sysctl_changes,
    without_swap,
)

FSTAB = """\
# <file system> <mount point> <type>
UUID=a / ext4 defaults 0 1
UUID=b none swap sw 0 0
/swapfile\tnone\tswap\tsw\t0\t0
# UUID=c none swap sw 0 0
"""


def test_only_modules_that_are_neither_loaded_nor_built_in_are_missing() -> None:
    builtin = "kernel/fs/overlayfs/overlay.ko\nkernel/drivers/net/vxlan/vxlan.ko.zst\n"
    wanted = ["overlay", "vxlan", "br_netfilter", "nf-conntrack", "tun"]
    assert missing_modules(wanted, "nf_conntrack 16384 1 - Live 0x0\n", builtin, {"tun"}) == ["br_netfilter"]


def test_a_kernel_without_loadable_modules_lacks_none() -> None:
    assert missing_modules(["overlay"], None, "", set()) == []


def test_only_settings_with_another_running_value_change() -> None:
    current = {"a": "1\n", "b": "0\n", "c": None, "d": "4096\t16384\t65536\n"}
    assert sysctl_changes({"a": "1", "b": "1", "c": "1", "d": "4096 16384 65536"}, current) == {"b": "1"}


def test_swap_in_use_is_read_with_what_is_used_of_it() -> None:
    swaps = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1000 10 -2\n/my\\040file file 1000 0 -3\n"
    assert active_swap(swaps) == [("/dev/sda2", 10), ("/my file", 0)]
    assert active_swap("Filename\tType\tSize\tUsed\tPriority\n") == []


def test_memory_that_is_available() -> None:
    assert available_kib("MemTotal: 2000 kB\nMemAvailable:   1234 kB\n") == 1234


def test_swap_lines_of_fstab_are_commented_out_and_all_else_is_kept() -> None:
    changed = without_swap(FSTAB)
    assert [line for line in changed.splitlines() if not line.startswith("#")] == ["UUID=a / ext4 defaults 0 1"]
    assert "UUID=b none swap sw 0 0" in changed
    assert without_swap(changed) == changed


def test_an_fstab_without_swap_is_not_touched_not_even_its_missing_last_newline() -> None:
    assert without_swap("UUID=a / ext4 defaults 0 1") == "UUID=a / ext4 defaults 0 1"
