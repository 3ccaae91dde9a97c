# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node containers of one inventory, from outside: power, freezer, packet filter.

What happens here goes through podman, not through SSH: it must work on a node that is cut off.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .shell import CommandError, Result, run

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

    def bridge(self) -> str:
        """Return this machine's interface in the machines' network."""
        return run(
            ["podman", "network", "inspect", "--format={{.NetworkInterface}}", f"caravan-{self.inventory}"]
        ).stdout.strip()

    def state(self, name: str) -> str:
        return run(["podman", "inspect", "--format", "{{.State.Status}}", self.container(name)]).stdout.strip()

    def execute(
        self, name: str, command: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 30
    ) -> Result:
        """Run a command inside a machine, whatever its network does."""
        return run(
            ["podman", "exec", "--interactive", self.container(name), *command],
            stdin=stdin,
            check=check,
            timeout=timeout,
        )

    @contextmanager
    def running(self, name: str, command: Sequence[str]) -> Iterator[str]:
        """Run a command inside a machine for as long as the block; yield its first line of output."""
        process = subprocess.Popen(
            ["podman", "exec", "--interactive", self.container(name), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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
        run(["podman", "kill", "--signal=KILL", self.container(name)])

    def start(self, name: str) -> None:
        run(["podman", "start", self.container(name)])

    def restart(self, name: str) -> None:
        """Reboot in order: services are stopped first."""
        run(["podman", "restart", "--time=30", self.container(name)], timeout=90)

    def destroy(self, name: str) -> None:
        """Remove a machine and its disks."""
        container = self.container(name)
        run(["podman", "rm", "--force", "--time=0", "--volumes", container], timeout=90)
        volumes = run(
            [
                *("podman", "volume", "ls", "--quiet"),
                *("--filter", f"label=caravan.inventory={self.inventory}"),
                *("--filter", f"label=caravan.machine={name}"),
            ]
        ).stdout.split()
        if volumes:
            run(["podman", "volume", "rm", "--force", *volumes])

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
        run(["podman", "pause", container])
        try:
            yield
        finally:
            run(["podman", "unpause", container])

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
        return run(["podman", "ps", "--all", "--format={{.Names}}", *arguments]).stdout.split()


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
