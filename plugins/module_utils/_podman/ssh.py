# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the controller gets into node containers: their keys, made before they boot, and whether they answer."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from . import nodes
from .client import Podman, run


def ssh_answers(address: str) -> str:
    """Empty when the SSH server at `address` sends its banner, otherwise what was seen instead."""
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            connection.settimeout(2)
            banner = connection.recv(64)
    except OSError as error:
        return str(error)
    return "" if banner.startswith(b"SSH-2.0") else f"an answer that is not SSH: {banner!r}"


class Keys:
    """The SSH keys of one inventory, on the controller."""

    def __init__(self, directory: str, podman: Podman) -> None:
        self.directory = Path(directory)
        self.hosts = self.directory / "hosts"
        self.environment = podman.environment
        self._lock = threading.Lock()

    def make(self, path: Path, comment: str) -> None:
        """An ed25519 key pair, unless it is there."""
        if not path.exists():
            for directory in (self.directory.parent, self.directory, path.parent):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], self.environment)

    def held(self) -> frozenset:
        """The machines whose host key, and the user key that opens them, the controller has."""
        if not (self.directory / "id_ed25519").exists() or not self.hosts.is_dir():
            return frozenset()
        return frozenset(path.stem for path in self.hosts.glob("*.pub"))

    def make_all(self, desired: nodes.Desired) -> bool:
        """Make what is missing, and write known_hosts. Return whether known_hosts has changed."""
        self.make(self.directory / "id_ed25519", f"caravan {desired.inventory}")
        for machine in desired.machines:
            self.make(self.hosts / machine.name, machine.name)
        public = {
            machine.name: " ".join((self.hosts / f"{machine.name}.pub").read_text().split()[:2])
            for machine in desired.machines
        }
        text = nodes.known_hosts(desired.machines, public)
        path = self.directory / "known_hosts"
        if path.exists() and path.read_text() == text:
            return False
        path.write_text(text)
        return True

    def add(self, machine: nodes.Machine) -> None:
        """Make what one machine lacks, and have it in known_hosts, side by side with others."""
        with self._lock:
            self.make(self.directory / "id_ed25519", "caravan")
            self.make(self.hosts / machine.name, machine.name)
            public = " ".join((self.hosts / f"{machine.name}.pub").read_text().split()[:2])
            self._know(machine.name, nodes.known_hosts((machine,), {machine.name: public}))

    def remove(self, machine: str) -> None:
        """Forget one machine that is gone."""
        with self._lock:
            for name in (machine, f"{machine}.pub"):
                (self.hosts / name).unlink(missing_ok=True)
            if self.directory.is_dir():
                self._know(machine, "")

    def _know(self, machine: str, line: str) -> None:
        path = self.directory / "known_hosts"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        others = [one for one in lines if not one.startswith(f"{machine},")]
        path.write_text("".join(sorted([*others, line])))

    def files(self, machine: nodes.Machine) -> dict:
        """What goes into the machine, for nodes.archive()."""
        user = (self.directory / "id_ed25519.pub").read_bytes()
        private = self.hosts / machine.name
        return {
            nodes.HOST_KEY: (0o600, private.read_bytes()),
            nodes.HOST_KEY + ".pub": (0o644, private.with_name(f"{machine.name}.pub").read_bytes()),
            "root/.ssh/authorized_keys": (0o600, user),
        }
