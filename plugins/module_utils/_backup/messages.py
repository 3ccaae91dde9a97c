# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects as API servers store them, read by field number: Protobuf without its schemas. Pure.

Source of the numbers: `generated.proto` beside each API group's types in `k8s.io/api`. Numbers are never used again for
something else, so that what is read here stays right with later versions.
"""

from __future__ import annotations

from collections.abc import Iterator

from .errors import BackupError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Message:
    """A Protobuf message. What is not there is empty, or 0."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        for number, value in _walk(data):
            self._fields.setdefault(number, []).append(value)

    def message(self, *path: int) -> Message:
        """Return the message at the end of a path of field numbers; the last one where there are several."""
        found = self
        for number in path:
            found = Message(found._last_bytes(number))
        return found

    def messages(self, number: int) -> list[Message]:
        return [Message(value) for value in self._fields.get(number, []) if isinstance(value, bytes)]

    def text(self, number: int) -> str:
        return self._last_bytes(number).decode(errors="replace")

    def texts(self, number: int) -> list[str]:
        return [value.decode(errors="replace") for value in self._fields.get(number, []) if isinstance(value, bytes)]

    def number(self, number: int) -> int:
        value = self._fields.get(number, [0])[-1]
        return value if isinstance(value, int) else 0

    def has(self, number: int) -> bool:
        return number in self._fields

    def _last_bytes(self, number: int) -> bytes:
        value = self._fields.get(number, [b""])[-1]
        return value if isinstance(value, bytes) else b""


def _walk(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            number, position = _varint(data, position)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise BackupError(f"an object is not the Protobuf it looks like: wire type {kind}")
        if position + length > len(data):
            raise BackupError("an object is not the Protobuf it looks like: it ends too early")
        yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise BackupError("an object is not the Protobuf it looks like: it ends too early")
