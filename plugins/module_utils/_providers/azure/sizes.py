# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of machines by what they have, and images by their portable names. Tables: the same description means the same
machine next year. `native.azure` takes any other one.
"""

from __future__ import annotations

from ..spec import Pool

# {architecture: {name with the number of CPUs left open: GiB for each virtual CPU}}. Families that take fast disks.
FAMILIES = {
    "amd64": {"Standard_F{}s_v2": 2, "Standard_D{}s_v5": 4, "Standard_E{}s_v5": 8},
    "arm64": {"Standard_D{}pls_v5": 2, "Standard_D{}ps_v5": 4, "Standard_E{}ps_v5": 8},
}
CPUS = {"amd64": (2, 4, 8, 16, 32, 48, 64), "arm64": (2, 4, 8, 16, 32)}

# {os/version: {architecture: (publisher, offer, sku)}}
IMAGES = {
    "debian/12": {"amd64": ("Debian", "debian-12", "12-gen2"), "arm64": ("Debian", "debian-12", "12-arm64")},
    "debian/13": {"amd64": ("Debian", "debian-13", "13-gen2"), "arm64": ("Debian", "debian-13", "13-arm64")},
    "ubuntu/22.04": {
        "amd64": ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"),
        "arm64": ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-arm64"),
    },
    "ubuntu/24.04": {
        "amd64": ("Canonical", "ubuntu-24_04-lts", "server"),
        "arm64": ("Canonical", "ubuntu-24_04-lts", "server-arm64"),
    },
    "rhel/9": {"amd64": ("RedHat", "RHEL", "9-lvm-gen2"), "arm64": ("RedHat", "rhel-arm64", "9_2-arm64")},
}


def table(architecture: str) -> list[tuple[int, int, str]]:
    """(virtual CPUs, memory in GiB, size), the smallest first."""
    return sorted(
        (cpu, cpu * share, name.format(cpu))
        for name, share in FAMILIES[architecture].items()
        for cpu in CPUS[architecture]
    )


def vm_size(cpu: int, memory_gib: int, architecture: str) -> str:
    """The smallest size with at least that much, or nothing where there is none."""
    return next((name for own, memory, name in table(architecture) if own >= cpu and memory >= memory_gib), "")


def largest(architecture: str) -> str:
    cpu, memory, name = table(architecture)[-1]
    return f"at most {cpu} CPUs and {memory} GiB ({name}), or a size in native.azure.vm_size"


def image(pool: Pool) -> tuple[str, str, str] | None:
    return IMAGES.get(str(pool.image), {}).get(pool.architecture)
