# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from rendering import HA_GROUPS, HA_HOSTS, Host

VIP = {"api_endpoint_vip": "10.0.0.100", "api_endpoint_interface": "eth0"}
SINGLE = {"cluster": ["cp1", "worker1"], "etcd": ["cp1"], "control_plane": ["cp1"], "worker": ["worker1"]}


def running(host: Host) -> list[str]:
    return [unit["name"] for unit in host.value("__api_endpoint_units") if unit["state"] == "started"]


def test_every_node_has_a_balancer_to_all_api_servers_and_only_control_plane_nodes_take_the_virtual_address() -> None:
    for name in HA_HOSTS:
        text = Host("api_endpoint", name, **VIP).template("haproxy.cfg.j2")
        assert "bind 127.0.0.1:6443\n" in text
        for server in ("cp1 10.0.0.11", "cp2 10.0.0.12", "cp3 10.0.0.13"):
            assert f"server {server}:6443" in text
        assert ("bind 10.0.0.100:6443 transparent" in text) is name.startswith("cp")


def test_another_worker_changes_no_other_host() -> None:
    hosts = {**HA_HOSTS, "worker3": "10.0.0.23"}
    groups = {**HA_GROUPS, "cluster": list(hosts), "worker": ["worker1", "worker2", "worker3"]}
    for name in HA_HOSTS:
        before, after = Host("api_endpoint", name, **VIP), Host("api_endpoint", name, hosts, groups, **VIP)
        for template in ("haproxy.cfg.j2", "keepalived.conf.j2", "holds_majority.py.j2"):
            assert before.template(template) == after.template(template)


def test_the_order_of_the_inventory_does_not_matter() -> None:
    groups = {**HA_GROUPS, "control_plane": ["cp3", "cp1", "cp2"], "etcd": ["cp2", "cp3", "cp1"]}
    before, after = Host("api_endpoint", "cp1", **VIP), Host("api_endpoint", "cp1", None, groups, **VIP)
    for template in ("haproxy.cfg.j2", "keepalived.conf.j2", "holds_majority.py.j2"):
        assert before.template(template) == after.template(template)


def test_a_single_api_server_is_not_checked() -> None:
    assert "check" not in Host("api_endpoint", "cp1", None, SINGLE).template("haproxy.cfg.j2").split("backend")[
        1
    ].replace("failed check", "")
    assert "check-ssl" in Host("api_endpoint", "cp1").template("haproxy.cfg.j2")


def test_keepalived_speaks_to_the_other_control_plane_nodes_only() -> None:
    text = Host("api_endpoint", "cp2", **VIP).template("keepalived.conf.j2")
    peers = text.split("unicast_peer {")[1].split("}")[0].split()
    assert peers == ["10.0.0.11", "10.0.0.13"]
    assert "unicast_src_ip 10.0.0.12" in text
    assert "unicast_peer" not in Host("api_endpoint", "cp1", None, SINGLE, **VIP).template("keepalived.conf.j2")


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.255", "fd00::ffff", "192.168.1.200"])
def test_the_priority_is_one_that_vrrp_allows(address: str) -> None:
    host = Host("api_endpoint", "cp1", {**HA_HOSTS, "cp1": address}, **VIP)
    assert 1 <= host.value("__api_endpoint_priority") <= 254


def test_without_a_virtual_address_there_is_no_keepalived() -> None:
    host = Host("api_endpoint", "cp1")
    assert host.value("__api_endpoint_packages") == ["haproxy"]
    assert running(host) == ["haproxy.service"]


def test_a_worker_has_no_keepalived() -> None:
    assert running(Host("api_endpoint", "worker1", **VIP)) == ["haproxy.service"]
    assert running(Host("api_endpoint", "cp1", **VIP)) == ["haproxy.service", "keepalived.service"]


def test_the_interface_is_the_one_with_the_nodes_address() -> None:
    facts = {
        "os_family": "Debian",
        "default_ipv4": {"address": "192.0.2.1", "interface": "ens3"},
        "ens3": {"device": "ens3", "ipv4": {"address": "192.0.2.1"}},
        "ens4": {"device": "ens4", "ipv4": {"address": "10.0.0.11"}},
        "lo": {"device": "lo", "ipv4": {"address": "127.0.0.1"}},
    }
    host = Host("api_endpoint", "cp1", api_endpoint_vip="10.0.0.100", ansible_facts=facts)
    assert host.value("__api_endpoint_interface") == "ens4"


@pytest.fixture
def listener() -> Iterator[int]:
    """A port of this machine with a server behind it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent(listener: int) -> Iterator[list[str]]:
    """Addresses that answer nothing on the listener's port, as behind a firewall: full queues, the kernel drops."""
    addresses, sockets = ["127.0.0.3", "127.0.0.4"], []
    for address in addresses:
        server = socket.socket()
        server.bind((address, listener))
        server.listen(0)
        sockets.append(server)
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((address, listener))
            sockets.append(client)
    yield addresses
    for each in sockets:
        each.close()


def verdict(tmp_path: Path, balancer: int, witness_port: int, witnesses: list[str]) -> int:
    hosts = {f"etcd{number}": address for number, address in enumerate(witnesses)}
    groups = {"cluster": list(hosts), "etcd": list(hosts), "control_plane": list(hosts)}
    host = Host(
        "api_endpoint",
        "etcd0",
        hosts,
        groups,
        cluster_endpoint_port=balancer,
        api_endpoint_witness_port=witness_port,
        **VIP,
    )
    script = tmp_path / "holds_majority"
    script.write_text(host.template("holds_majority.py.j2"))
    return subprocess.run([sys.executable, "-IS", os.fspath(script)], timeout=60, check=False).returncode


@pytest.mark.parametrize(
    ("answering", "mute", "holds"),
    [(1, 0, True), (2, 1, True), (1, 2, False), (2, 2, False)],
)
def test_the_address_is_held_only_with_a_majority_in_reach(
    tmp_path: Path, listener: int, silent: list[str], answering: int, mute: int, holds: bool
) -> None:
    witnesses = ["127.0.0.1", "127.0.0.2"][:answering] + silent[:mute]
    assert (verdict(tmp_path, listener, listener, witnesses) == 0) is holds


def test_a_refusal_is_an_answer_so_the_address_is_there_before_the_first_member(tmp_path: Path, listener: int) -> None:
    assert verdict(tmp_path, listener, free_port(), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]) == 0


def test_without_its_own_balancer_a_host_does_not_hold_the_address(tmp_path: Path, listener: int) -> None:
    assert verdict(tmp_path, free_port(), listener, ["127.0.0.1"]) == 1
