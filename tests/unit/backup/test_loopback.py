# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import loopback


def outgoing() -> int:
    """The first port that the kernel takes for outgoing connections by itself."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_no_outgoing_connection_is_given_the_port_meanwhile() -> None:
    assert 1024 < loopback.free_port() < min(outgoing(), 32768)


def only(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    monkeypatch.setattr(loopback, "PORTS", range(ports[0], ports[-1] + 1))


def test_a_port_is_given_once_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    port = loopback.free_port()
    only(monkeypatch, port)
    with pytest.raises(RuntimeError, match=str(port)):
        loopback.free_port()
    program = f"import sys, loopback; loopback.PORTS = range({port}, {port + 1}); loopback.free_port()"
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(loopback.__file__).parent, capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert f"RuntimeError: no free port between {port} and {port + 1}" in other.stderr


def test_a_port_on_which_something_listens_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    port = loopback.free_port()
    monkeypatch.setattr(loopback, "_reserve", lambda _: True)
    only(monkeypatch, port)
    assert loopback.free_port() == port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(RuntimeError):
        loopback.free_port()
