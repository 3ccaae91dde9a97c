# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance types by what they have. A table, so that the same description means the same machine next year.

The general families of one generation each, which every region has: for each architecture those with 2, 4 and 8 GiB
for each virtual CPU. `native.aws.instance_type` takes any other one.
"""

from __future__ import annotations

FAMILIES = {"amd64": {"c7i": 2, "m7i": 4, "r7i": 8}, "arm64": {"c7g": 2, "m7g": 4, "r7g": 8}}
CPUS = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "12xlarge": 48, "16xlarge": 64}


def table(architecture: str) -> list[tuple[int, int, str]]:
    """(memory in GiB, virtual CPUs, type), the smallest first."""
    families = FAMILIES[architecture].items()
    return sorted((cpu * share, cpu, f"{family}.{size}") for family, share in families for size, cpu in CPUS.items())


def instance_type(cpu: int, memory_gib: int, architecture: str) -> str:
    """The smallest type with at least that much, or nothing where there is none."""
    fitting = ((own, cores, name) for own, cores, name in table(architecture) if own >= memory_gib and cores >= cpu)
    return next((name for _memory, _cores, name in sorted(fitting, key=lambda one: (one[1], one[0]))), "")


def largest(architecture: str) -> str:
    memory, cpu, name = table(architecture)[-1]
    return f"at most {cpu} CPUs and {memory} GiB ({name}), or a type in native.aws.instance_type"
