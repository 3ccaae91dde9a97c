# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from rendering import HA_GROUPS, HA_HOSTS, Host

VIP = {"api_endpoint_vip": "10.0.0.100"}


def test_the_firewall_of_a_worker_and_of_a_control_plane_node() -> None:
    worker = Host("node", "worker1", **VIP).template("firewall.nft.j2")
    control_plane = Host("node", "cp1", **VIP).template("firewall.nft.j2")
    for port in ("2379", "2380", "6443"):
        assert f"dport {port} " in control_plane
        assert f"dport {port} " not in worker
    for text in (worker, control_plane):
        assert "policy drop;" in text
        assert 'ip saddr { 10.0.0.0/24 } udp dport 8472 accept comment "flannel VXLAN"' in text
        for loopback_only in ("2381", "10248", "10257", "10259"):
            assert loopback_only not in text
    assert "vrrp" in control_plane
    assert "vrrp" not in worker


def test_another_worker_changes_no_other_host() -> None:
    hosts = {**HA_HOSTS, "worker3": "10.0.0.23"}
    groups = {**HA_GROUPS, "cluster": list(hosts), "worker": ["worker1", "worker2", "worker3"]}
    for name in HA_HOSTS:
        before, after = Host("node", name), Host("node", name, hosts, groups)
        assert before.template("firewall.nft.j2") == after.template("firewall.nft.j2")


def test_the_firewall_never_touches_another_table() -> None:
    text = Host("node", "cp1").template("firewall.nft.j2")
    assert "flush" not in text.replace("flushes", "")
    assert [line for line in text.splitlines() if line.startswith(("table", "delete"))] == [
        "table inet caravan",
        "delete table inet caravan",
        "table inet caravan {",
    ]


def test_nodeports_are_limited_ahead_of_their_translation() -> None:
    everyone = Host("node", "worker1").template("firewall.nft.j2")
    some = Host("node", "worker1", node_firewall_nodeport_cidrs=["192.0.2.0/24"]).template("firewall.nft.j2")
    assert "dport 30000-32767 drop" not in everyone
    assert "ip saddr { 10.0.0.0/24, 10.244.0.0/16, 192.0.2.0/24 } accept" in some
    assert "ct state new tcp dport 30000-32767 drop" in some


def test_calico_has_other_ports() -> None:
    text = Host("node", "worker1", network_provider="calico").template("firewall.nft.j2")
    assert "dport 4789" in text
    assert "dport 8472" not in text


def test_the_ssh_port_is_the_one_that_ansible_uses() -> None:
    assert 'tcp dport 2222 accept comment "ssh"' in Host("node", "worker1", ansible_port=2222).template(
        "firewall.nft.j2"
    )


def test_extra_ports_join_the_table() -> None:
    extra = {"name": "shop", "protocol": "tcp", "port": "8080", "groups": ["worker"], "sources": ["nodes"], "why": "-"}
    text = Host("node", "worker1", node_firewall_extra_ports=[extra]).template("firewall.nft.j2")
    assert 'ip saddr { 10.0.0.0/24 } tcp dport 8080 accept comment "shop"' in text


def test_sysctls_are_merged_and_those_of_another_machine_left_alone() -> None:
    host = Host(
        "node", "worker1", node_sysctls_extra={"net.core.somaxconn": 4096}, node_sysctls_unmanaged=["kernel.*", "vm.*"]
    )
    keys = set(host.value("__node_sysctls"))
    assert {"net.ipv4.ip_forward", "net.core.somaxconn", "fs.inotify.max_user_instances"} <= keys
    assert not {key for key in keys if key.startswith(("kernel.", "vm."))}
    assert "kernel.panic" in Host("node", "worker1").value("__node_sysctls")


def test_only_missing_packages_are_asked_for() -> None:
    listed = ["nftables installed", "socat config-files", *(f"{name} installed" for name in ("kmod", "mount"))]
    host = Host("node", "worker1", __node_packages_found={"stdout_lines": listed}, node_packages_extra=["jq"])
    missing = host.value("__node_packages_missing")
    assert {"socat", "jq", "chrony"} <= set(missing)
    assert not {"nftables", "kmod", "mount"} & set(missing)


@pytest.mark.parametrize("os_family", ["Debian", "RedHat"])
def test_time_is_kept_unless_something_else_does(os_family: str) -> None:
    keeps = Host("node", "worker1", os_family=os_family)
    other = Host("node", "worker1", os_family=os_family, node_manage_time_sync=False)
    unit = keeps.value("__node_chrony_unit")
    assert unit in [entry["name"] for entry in keeps.value("__node_units")]
    assert unit not in [entry["name"] for entry in other.value("__node_units")]
    assert "chrony" not in other.value("__node_packages")


def test_time_servers_replace_the_distributions() -> None:
    assert Host("node", "worker1").value("__node_files_time") == []
    host = Host("node", "worker1", node_time_servers=["ntp1.example.org"])
    assert host.value("__node_files_time")[0]["dest"] == "/etc/chrony/chrony.conf"
    assert "server ntp1.example.org iburst" in host.template("chrony.conf.j2")


def test_a_firewall_turned_off_is_stopped() -> None:
    units = {unit["name"]: unit for unit in Host("node", "worker1", node_firewall_enabled=False).value("__node_units")}
    assert units["caravan-firewall.service"]["state"] == "stopped"
    assert "ufw.service" not in units


def test_swap_stays_off_unless_it_is_left_to_the_site() -> None:
    """What is in use is turned off by the module kernel; this is what keeps it from coming back."""
    masked = {"name": "swap.target", "masked": True}
    assert masked in Host("node", "worker1").value("__node_units")
    assert masked not in Host("node", "worker1", node_manage_swap=False).value("__node_units")


@pytest.mark.parametrize(("os_family", "path"), [("Debian", "/etc/chrony/chrony.conf"), ("RedHat", "/etc/chrony.conf")])
def test_chrony_follows_the_servers_and_serves_nobody(os_family: str, path: str) -> None:
    host = Host("node", "worker1", os_family=os_family, node_time_servers=["ntp1.example.org", "192.0.2.1"])
    assert host.value("__node_files_time")[0]["dest"] == path
    assert (
        path
        in next(unit for unit in host.value("__node_units") if unit["name"] == host.value("__node_chrony_unit"))[
            "files"
        ]
    )
    lines = host.template("chrony.conf.j2").splitlines()
    assert [line for line in lines if line.startswith("server ")] == [
        "server ntp1.example.org iburst",
        "server 192.0.2.1 iburst",
    ]
    assert {"port 0", "cmdport 0", "makestep 1.0 3"} <= set(lines)


def test_limits_journal_modules_and_settings_are_what_was_asked_for() -> None:
    host = Host(
        "node",
        "worker1",
        node_journal_max_size="300M",
        node_journal_max_age="7day",
        node_limits=[{"domain": "*", "type": "soft", "item": "nofile", "value": 65536}],
        node_kernel_modules=["overlay", "br_netfilter"],
        node_sysctls_extra={"vm.max_map_count": 500000},
    )
    journal = host.template("journald.conf.j2")
    assert (
        "SystemMaxUse=300M\n" in journal and "MaxRetentionSec=7day\n" in journal and "Storage=persistent\n" in journal
    )
    assert "\n* soft nofile 65536\n" in host.template("limits.conf.j2")
    assert host.template("modules.conf.j2").splitlines()[-2:] == ["overlay", "br_netfilter"]
    settings = dict(line.split(" = ") for line in host.template("sysctl.conf.j2").splitlines() if " = " in line)
    assert settings["vm.max_map_count"] == "500000" and settings["net.ipv4.ip_forward"] == "1"
