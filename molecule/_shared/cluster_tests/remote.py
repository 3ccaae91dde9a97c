# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes over SSH, with the host keys that the provider recorded: testinfra hosts, and their journals."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import testinfra
from testinfra.host import Host

from .inventory import Inventory
from .shell import Result, run


@dataclass
class Nodes:
    """SSH to every host of the inventory by Ansible's own variables. `sockets` keeps the shared connections."""

    inventory: Inventory
    sockets: Path
    _hosts: dict[str, Host] = field(default_factory=dict)

    def host(self, name: str) -> Host:
        """Return the testinfra host."""
        if name not in self._hosts:
            user = self.inventory.value(name, "ansible_user", "root")
            address = self.inventory.value(name, "ansible_host", name)
            options = shlex.join(self._options(name))
            self._hosts[name] = testinfra.get_host(f"ssh://{user}@{address}", ssh_extra_args=options)
        return self._hosts[name]

    def forget(self, name: str) -> None:
        """Drop the shared connection, which does not survive a reboot."""
        for socket in self.sockets.glob(f"{name}-*"):
            # The process behind the socket leaves by itself once it finds its connection dead.
            socket.unlink(missing_ok=True)

    def run(
        self, name: str, command: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> Result:
        """Run a command with standard input, which testinfra does not offer."""
        user = self.inventory.value(name, "ansible_user", "root")
        target = f"{user}@{self.inventory.value(name, 'ansible_host', name)}"
        return run(
            ["ssh", *self._options(name), target, shlex.join(command)], stdin=stdin, check=check, timeout=timeout
        )

    def python(self, name: str, script: str, argument: Any = None, *, timeout: float = 60) -> Any:
        """Run a Python script on a node and return what it prints as JSON.

        The script finds `argument` in the name ARGUMENT. Both travel through standard input, never through arguments.
        """
        program = f"import json\nARGUMENT = json.loads({json.dumps(json.dumps(argument))})\n{script}"
        return json.loads(self.run(name, ["python3", "-"], stdin=program, timeout=timeout).stdout)

    def journal(self, name: str, units: Sequence[str], lines: int = 40) -> str:
        """Return the end of the units' journals; what went wrong on the way is the text then."""
        selection = [argument for unit in units for argument in ("-u", unit)]
        try:
            return self.run(
                name, ["journalctl", "--no-pager", "-n", str(lines), *selection], check=False, timeout=15
            ).text
        except AssertionError as problem:
            return str(problem)

    def _options(self, name: str) -> list[str]:
        common = self.inventory.value(name, "ansible_ssh_common_args", "")
        key = self.inventory.value(name, "ansible_ssh_private_key_file", "")
        options = [
            *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5"),
            *("-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=2"),
            *("-o", "ControlMaster=auto", "-o", "ControlPersist=60"),
            *("-o", f"ControlPath={self.sockets}/{name}-%C"),
        ]
        return [*shlex.split(common), *options, *(["-i", key] if key else [])]
