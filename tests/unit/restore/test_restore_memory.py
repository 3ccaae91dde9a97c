# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the clear is in memory that no file system holds, and programs read it like any file."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import commands, memory
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import CommandError


def test_programs_write_and_read_it_and_nothing_is_left(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"snapshot")
    with memory.anonymous("test") as (writer, path):
        commands.pipe_into(["cat"], ["tr", "a-z", "A-Z"], str(source), writer, 20)
        assert commands.run(["cat", path], 20) == b"SNAPSHOT"
        # From its end, as etcdutl looks for a snapshot's checksum.
        assert commands.run(["tail", "--bytes=4", path], 20) == b"SHOT"
        assert str(Path(path).readlink()).startswith("/memfd:")
    assert not Path(path).exists()
    assert list(tmp_path.iterdir()) == [source]


def test_a_program_that_fails_is_named() -> None:
    with memory.anonymous("test") as (writer, _path), pytest.raises(CommandError, match="false ended with 1"):
        commands.pipe_into(["cat"], ["false"], "/dev/null", writer, 20)
    with memory.anonymous("test") as (writer, _path), pytest.raises(CommandError, match="not found: /nowhere"):
        commands.pipe_into(["cat"], ["cat"], "/nowhere", writer, 20)


def test_available_memory_is_what_the_kernel_says() -> None:
    assert memory.available("MemTotal:   16000 kB\nMemAvailable:    4000 kB\n") == 4096000
    assert memory.available("MemTotal:   16000 kB\n") == 0
