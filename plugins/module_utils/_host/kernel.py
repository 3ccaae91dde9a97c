# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure core of the `kernel` module: modules, sysctls and swap as text in, decisions out."""

from __future__ import annotations

FSTAB_MARK = "# swap is off on cluster nodes: "


def missing_modules(wanted: list[str], loaded: str | None, builtin: str, present: set[str]) -> list[str]:
    """Return the modules that have to be loaded.

    `loaded`: text of /proc/modules, None where the kernel cannot load modules at all (all it has is built in).
    `builtin`: text of modules.builtin (paths). `present`: names under /sys/module. The kernel writes `-` as `_`.
    """
    if loaded is None:
        return []
    there = {_name(line.split()[0]) for line in loaded.splitlines() if line.strip()}
    there |= {_name(line.rsplit("/", 1)[-1].split(".ko")[0]) for line in builtin.splitlines() if line.strip()}
    there |= {_name(name) for name in present}
    return [name for name in wanted if _name(name) not in there]


def sysctl_changes(wanted: dict[str, str], current: dict[str, str | None]) -> dict[str, str]:
    """Return {key: value} of the settings whose running value differs. Several numbers are compared by words."""
    return {
        key: value
        for key, value in wanted.items()
        if current.get(key) is not None and str(current[key]).split() != str(value).split()
    }


def active_swap(swaps: str) -> list[tuple[str, int]]:
    """Return [(device or file, used KiB)] from the text of /proc/swaps."""
    rows = [line.split() for line in swaps.splitlines()[1:] if line.strip()]
    return [(row[0].replace("\\040", " "), int(row[3])) for row in rows]


def available_kib(meminfo: str) -> int:
    """Return MemAvailable of /proc/meminfo in KiB."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    return 0


def without_swap(fstab: str) -> str:
    """Return /etc/fstab with its swap lines commented out, marked so that a reader knows why and can undo it."""
    lines = []
    for line in fstab.splitlines(keepends=True):
        fields = line.split()
        is_swap = len(fields) >= 3 and not fields[0].startswith("#") and fields[2] == "swap"
        lines.append(FSTAB_MARK + line if is_swap else line)
    return "".join(lines)


def _name(module: str) -> str:
    return module.replace("-", "_")
