# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching what happens besides: command lines of all processes, packets on the nodes' bridge."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_ETH_P_ALL = 0x0003
_VXLAN = 8472


class CommandLines:
    """Context manager: samples the arguments of all processes, of this machine and of the containers in it."""

    def __init__(self, interval: float = 0.05) -> None:
        self.seen: set[str] = set()
        self._interval = interval
        self._known: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="command lines", daemon=True)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            for process in Path("/proc").iterdir():
                if not process.name.isdigit():
                    continue
                # A process is read in its first second only (exec may follow fork); later its arguments stay the same.
                first = self._known.setdefault(process.name, time.monotonic())
                if time.monotonic() - first > 1:
                    continue
                try:
                    line = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if line:
                    self.seen.add(line.replace(b"\0", b" ").decode("utf-8", "replace"))


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet that opens something: a TCP SYN, or any UDP."""

    protocol: str
    source: str
    destination: str
    port: int


def parse_packet(frame: bytes) -> Packet | None:
    """Return the packet in an Ethernet frame when it is a TCP SYN (no ACK) or UDP, else None."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00":
        return None
    header = (frame[14] & 0x0F) * 4
    protocol = frame[23]
    payload = frame[14 + header :]
    source, destination = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    if protocol == 17 and len(payload) >= 4:
        return Packet("udp", source, destination, struct.unpack("!H", payload[2:4])[0])
    if protocol == 6 and len(payload) >= 14 and payload[13] & 0x12 == 0x02:
        return Packet("tcp", source, destination, struct.unpack("!H", payload[2:4])[0])
    return None


def syn_or_udp_filter() -> list[tuple[int, int, int, int]]:
    """Return a classic BPF program for an Ethernet socket: TCP SYN without ACK, and UDP that is not VXLAN.

    In the kernel, because the images pass over the same bridge and Python would not keep up.
    """
    load_half, load_byte, load_x, load_half_x, load_byte_x = 0x28, 0x30, 0xB1, 0x48, 0x50
    jump_equal, and_, accept = 0x15, 0x54, 0x06
    return [
        (load_half, 0, 0, 12),  # EtherType
        (jump_equal, 0, 11, 0x0800),  # not IPv4: drop
        (load_byte, 0, 0, 23),  # protocol
        (jump_equal, 0, 4, 6),  # not TCP: look at UDP
        (load_x, 0, 0, 14),  # X = length of the IP header
        (load_byte_x, 0, 0, 14 + 13),  # TCP flags
        (and_, 0, 0, 0x12),
        (jump_equal, 4, 5, 0x02),  # SYN alone: accept
        (jump_equal, 0, 4, 17),  # not UDP: drop
        (load_x, 0, 0, 14),
        (load_half_x, 0, 0, 14 + 2),  # UDP destination port
        (jump_equal, 1, 0, _VXLAN),  # VXLAN: drop
        (accept, 0, 0, 262144),
        (accept, 0, 0, 0),
    ]


@dataclass
class Connections:
    """Context manager: records who opens connections to whom over a bridge of this machine."""

    interface: str
    packets: set[Packet] = field(default_factory=set)

    def __enter__(self) -> Connections:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        program = b"".join(struct.pack("HBBI", *step) for step in syn_or_udp_filter())
        buffer = _keep(program)
        so_attach_filter = 26
        self._socket.setsockopt(
            socket.SOL_SOCKET,
            so_attach_filter,
            struct.pack("HxxxxxxP", len(program) // 8, buffer[1]),
        )
        self._buffer = buffer
        self._socket.bind((self.interface, 0))
        # Without it a bridge hands up only what is for this machine, not what it carries from one node to another.
        sol_packet, add_membership, promiscuous = 263, 1, 1
        request = struct.pack("iHH8s", socket.if_nametoindex(self.interface), promiscuous, 0, b"")
        self._socket.setsockopt(sol_packet, add_membership, request)
        self._socket.settimeout(0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="packets", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                packet = parse_packet(self._socket.recv(256))
            except TimeoutError:
                continue
            if packet is not None:
                self.packets.add(packet)


def _keep(program: bytes) -> tuple[object, int]:
    """Return a C buffer with the program, and its address."""
    import ctypes

    buffer = ctypes.create_string_buffer(program, len(program))
    return buffer, ctypes.addressof(buffer)
