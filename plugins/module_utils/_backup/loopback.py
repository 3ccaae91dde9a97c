# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of the loopback for servers that live as long as one run: a registry, a drill's API server, those of tests.

The usual way, binding port 0 and closing it again, gives a port of the range that the kernel also takes for outgoing
connections: it is sometimes taken again before the server listens on it.
"""

from __future__ import annotations

import random
import socket

# Below the range of outgoing connections (32768 and up), above the ports of well-known services.
PORTS = range(20000, 30000)

# A name of the abstract namespace belongs to one process of the machine, and is free again when that process ends.
_reservations: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens, and which no other process of this machine is given here."""
    for port in random.sample(PORTS, len(PORTS)):
        if _reserve(port) and _is_free(port):
            return port
    raise RuntimeError(f"no free port between {PORTS.start} and {PORTS.stop}")


def _reserve(port: int) -> bool:
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0caravan/loopback-port/{port}")
    except OSError:
        name.close()
        return False
    _reservations.append(name)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
