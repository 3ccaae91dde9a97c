# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to import the packages of a provider, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

AZURE = (
    "authorization.v2022_04_01",
    "compute",
    "dns",
    "keyvault",
    "msi",
    "network",
    "resource.resources",
    "storage",
)
# What each provider's strategy imports. Azure's looks without its clients, and needs them for what it changes.
SDKS = {
    "nothing": (),
    "aws: boto3": ("boto3",),
    "azure, to look: azure-identity, azure-mgmt-core": ("azure.identity", "azure.mgmt.core"),
    "azure, to change: and eight azure-mgmt-*": ("azure.identity", *(f"azure.mgmt.{name}" for name in AZURE)),
    "openstack: openstacksdk": ("openstack",),
    "baremetal: sushy, dnspython": ("sushy", "dns.update", "dns.query"),
}
PROGRAM = r"""
import importlib, json, pathlib, re, sys, time
started, used = time.monotonic(), time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
spent = time.monotonic() - started, time.process_time() - used
# Not getrusage's: what a process inherits there is the largest size of the one that started it.
peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(json.dumps([*spent, int(peak[1]) / 1024]))
"""


@dataclass(frozen=True)
class Cost:
    """seconds: by the clock; cpu: of a processor; megabytes: the whole process at its largest."""

    name: str
    seconds: float
    cpu: float
    megabytes: float


def measured(runs: int = 3) -> list[Cost]:
    """The quickest of some runs: files are in the page cache by then. What is not installed is left out."""
    found = []
    for name, modules in SDKS.items():
        tries = [_once(modules) for _run in range(runs)]
        seconds = [one for one in tries if one]
        if seconds:
            found.append(Cost(name, *min(seconds)))
    return found


def _once(modules: tuple[str, ...]) -> tuple[float, float, float] | None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *modules], capture_output=True, text=True, check=False)
    return tuple(json.loads(done.stdout)) if done.returncode == 0 else None
