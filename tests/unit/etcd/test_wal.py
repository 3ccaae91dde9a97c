# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose data it is."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.caravan.cluster.plugins.module_utils._etcd.wal import identity, parse_head

# The first bytes that etcd 3.6.8 wrote for member 6731085436778176100 of cluster 10237228112490099794.
HEAD = bytes.fromhex(
    "040000000000008408041000000000001f000000000000810801108cbfc9ee011a1508e4bcdfdfabd1e7b45d10d2e8f5ccaa97fc888e01"
    "000e00000000000082080510dba692b3011a040800100000"
)
IDS = (6731085436778176100, 10237228112490099794)


def write(folder: Path, name: str, data: bytes) -> None:
    wal = folder / "member" / "wal"
    wal.mkdir(parents=True, exist_ok=True)
    (wal / name).write_bytes(data)


def test_head() -> None:
    assert parse_head(HEAD) == IDS


def test_damaged_heads() -> None:
    assert parse_head(b"") is None
    assert parse_head(HEAD[:20]) is None
    assert parse_head(b"\xff" * 64) is None
    assert parse_head(b"\x00" * 64) is None


def test_directory(tmp_path: Path) -> None:
    assert identity(tmp_path) is None
    (tmp_path / "member" / "snap").mkdir(parents=True)
    assert identity(tmp_path) is None
    write(tmp_path, "0000000000000000-0000000000000000.wal", HEAD)
    assert identity(tmp_path) == IDS


def test_an_unreadable_log_is_data(tmp_path: Path) -> None:
    write(tmp_path, "0000000000000000-0000000000000000.wal", b"")
    assert identity(tmp_path) == (0, 0)
