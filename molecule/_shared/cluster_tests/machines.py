# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node containers of one inventory, from outside: power, freezer, packet filter.

What happens here goes through podman, not through SSH: it must work on a node that is cut off.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .shell import CommandError, Result, run

# The provider's own settings, with which the machines were made.
_CONFIGURATION = Path(__file__).resolve().parents[3] / "roles" / "local_machines" / "files" / "containers.conf"
ENVIRONMENT = {"CONTAINERS_CONF": str(_CONFIGURATION)}

_FAULT_TABLE = "caravan_fault"


@dataclass(frozen=True)
class Machines:
    """`inventory` is the label that the local provider puts on its containers."""

    inventory: str

    def container(self, name: str) -> str:
        """Return the container of a machine, running or not."""
        names = self._list(f"label=caravan.machine={name}")
        if len(names) != 1:
            raise CommandError(f"machine {name} of {self.inventory}: want one container, found {names or 'none'}")
        return names[0]

    def all(self) -> list[str]:
        return self._list()

    def powered(self) -> list[str]:
        return self._list("status=running")

    def bridge(self) -> str:
        """Return this machine's interface in the machines' network."""
        network = f"caravan-{self.inventory}"
        return podman("network", "inspect", "--format={{.NetworkInterface}}", network).stdout.strip()

    def state(self, name: str) -> str:
        return podman("inspect", "--format", "{{.State.Status}}", self.container(name)).stdout.strip()

    def execute(
        self, name: str, command: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 30
    ) -> Result:
        """Run a command inside a machine, whatever its network does."""
        return podman(
            *("exec", "--interactive", self.container(name), *command), stdin=stdin, check=check, timeout=timeout
        )

    @contextmanager
    def running(self, name: str, command: Sequence[str]) -> Iterator[str]:
        """Run a command inside a machine for as long as the block; yield its first line of output."""
        process = subprocess.Popen(
            ["podman", "exec", "--interactive", self.container(name), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(timeout=10)

    def kill(self, name: str) -> None:
        """Pull the plug."""
        podman("kill", "--signal=KILL", self.container(name))

    def start(self, name: str) -> None:
        podman("start", self.container(name))

    def restart(self, name: str) -> None:
        """Reboot in order: services are stopped first."""
        podman("restart", "--time=30", self.container(name), timeout=90)

    def destroy(self, name: str) -> None:
        """Remove a machine and its disks."""
        container = self.container(name)
        # Not by label: `podman volume ls` joins several labels with "or", and a volume removed by force takes its
        # container along.
        mounts = podman("inspect", '--format={{range .Mounts}}{{.Type}} {{.Name}}{{"\\n"}}{{end}}', container).stdout
        volumes = [line.split()[1] for line in mounts.splitlines() if line.startswith("volume ")]
        podman("rm", "--force", "--time=0", container, timeout=90)
        if volumes:
            podman("volume", "rm", *volumes)

    @contextmanager
    def killed(self, name: str) -> Iterator[None]:
        """The machine is dead inside the block and powered on again after it."""
        self.kill(name)
        try:
            yield
        finally:
            self.start(name)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Every process of the machine stands still inside the block (cgroup freezer); its network stack does not."""
        container = self.container(name)
        podman("pause", container)
        try:
            yield
        finally:
            podman("unpause", container)

    @contextmanager
    def cut_off(self, name: str, direction: str, peers: Sequence[str]) -> Iterator[None]:
        """One-way partition inside the block: packets to (`output`) or from (`input`) the peers are dropped."""
        self.execute(name, ["nft", "-f", "-"], stdin=partition_rules(direction, peers))
        try:
            yield
        finally:
            # "destroy" would be shorter, but asks for a newer nft than the node's.
            self.execute(name, ["nft", "delete", "table", "inet", _FAULT_TABLE], check=False)

    def _list(self, *filters: str) -> list[str]:
        arguments = [f"--filter={condition}" for condition in (f"label=caravan.inventory={self.inventory}", *filters)]
        return podman("ps", "--all", "--format={{.Names}}", *arguments).stdout.split()


def podman(*arguments: str, stdin: str | None = None, timeout: float = 60, check: bool = True) -> Result:
    """Run podman as the local provider does."""
    return run(["podman", *arguments], stdin=stdin, timeout=timeout, check=check, environment=ENVIRONMENT)


def partition_rules(direction: str, peers: Sequence[str]) -> str:
    """Return nft rules that drop one direction between a node and its peers, VRRP's multicast included.

    The prober is no peer: a node that clients reach and that reaches nobody is the hard case, because it can keep the
    virtual address and serve errors.
    """
    side = {"output": "daddr", "input": "saddr"}[direction]
    addresses = ", ".join(peers)
    multicast = "ip daddr 224.0.0.0/4 drop\n    " if direction == "output" else ""
    return f"""table inet {_FAULT_TABLE} {{
  chain {direction} {{
    type filter hook {direction} priority -350; policy accept;
    {multicast}ip {side} {{ {addresses} }} drop
  }}
  chain forward {{
    type filter hook forward priority -350; policy accept;
    ip {side} {{ {addresses} }} drop
  }}
}}
"""
