# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs were seen to do, kept from one step of a scenario to the next, readable by its owner only."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .watch import Packet


@dataclass(frozen=True)
class Evidence:
    """A directory with one file per run and kind. It holds what a user's screen may have shown, so it is private."""

    directory: Path

    def keep(self, title: str, output: str, command_lines: Iterable[str], packets: Iterable[Packet]) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", title)
        self._write(f"{name}.output", output)
        self._write(f"{name}.processes", "\n".join(sorted(set(command_lines))))
        lines = sorted(
            {json.dumps([packet.protocol, packet.source, packet.destination, packet.port]) for packet in packets}
        )
        self._write(f"{name}.packets", "\n".join(lines))

    def texts(self) -> dict[str, str]:
        """Return everything that was shown or run, by name."""
        return {
            path.name: path.read_text()
            for path in sorted(self.directory.glob("*"))
            if path.suffix in (".output", ".processes")
        }

    def packets(self) -> set[Packet]:
        return {
            Packet(*json.loads(line))
            for path in self.directory.glob("*.packets")
            for line in path.read_text().splitlines()
        }

    def clear(self) -> None:
        for path in self.directory.glob("*"):
            path.unlink()

    def _write(self, name: str, content: str) -> None:
        descriptor = os.open(self.directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
