# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose data a data directory holds, read from the head of its write-ahead log."""

from __future__ import annotations

from pathlib import Path

_CRC_TYPE = 4
_METADATA_TYPE = 1
_HEAD = 4096


def identity(data_dir: Path) -> tuple[int, int] | None:
    """(member ID, cluster ID) of the data; (0, 0) when there is a log which cannot be read; None without data.

    Directories alone are no data: a start that failed leaves them behind.
    """
    segments = sorted((data_dir / "member" / "wal").glob("*.wal"))
    if not segments:
        return None
    with segments[-1].open("rb") as stream:
        return parse_head(stream.read(_HEAD)) or (0, 0)


def parse_head(head: bytes) -> tuple[int, int] | None:
    """Each segment begins with a checksum record and the metadata record.

    A record is framed by 8 bytes, little endian: the lower 56 bits are its length, the highest byte its padding.
    """
    offset = 0
    while offset + 8 <= len(head):
        frame = int.from_bytes(head[offset : offset + 8], "little")
        length = frame & ((1 << 56) - 1)
        padding = (frame >> 56) & 0x07 if frame >> 63 else 0
        record = _fields(head[offset + 8 : offset + 8 + length])
        if record.get(1) == _METADATA_TYPE:
            metadata = record.get(3)
            if not isinstance(metadata, bytes):
                return None
            ids = _fields(metadata)
            member, cluster = ids.get(1), ids.get(2)
            return (member, cluster) if isinstance(member, int) and isinstance(cluster, int) else None
        if record.get(1) != _CRC_TYPE or length == 0:
            return None
        offset += 8 + length + padding
    return None


def _fields(message: bytes) -> dict[int, int | bytes]:
    """The varint and bytes fields of a protobuf message; a message that breaks off gives what came before."""
    found: dict[int, int | bytes] = {}
    offset = 0
    try:
        while offset < len(message):
            key, offset = _varint(message, offset)
            value, offset = _varint(message, offset)
            if key & 7 == 2:
                found[key >> 3] = message[offset : offset + value]
                offset += value
            else:
                found[key >> 3] = value
    except IndexError:
        pass
    return found


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[offset]
        value |= (byte & 0x7F) << shift
        offset += 1
        shift += 7
        if byte < 0x80:
            return value, offset
