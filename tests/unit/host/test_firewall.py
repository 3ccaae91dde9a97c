# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._host.firewall import (
    host_ports,
    input_rules,
    source_matches,
)

TABLE: list[dict] = [
    {"name": "etcd", "protocol": "tcp", "port": 2379, "groups": ["etcd"], "sources": ["nodes"]},
    {"name": "metrics", "protocol": "tcp", "port": 2381, "groups": ["etcd"], "sources": []},
    {
        "name": "kubelet",
        "protocol": "tcp",
        "port": 10250,
        "groups": ["control_plane", "worker"],
        "sources": ["nodes", "pods"],
    },
    {"name": "VRRP", "protocol": "vrrp", "groups": ["control_plane"], "sources": ["nodes"], "feature": "vrrp"},
    {"name": "API", "protocol": "tcp", "port": 6443, "groups": ["control_plane"], "sources": ["nodes", "any"]},
]
NETWORKS = {"nodes": ["10.0.0.0/24", "fd00::/64"], "pods": ["10.244.0.0/16"], "any": ["0.0.0.0/0", "::/0"]}


def names(groups: list[str], features: list[str] | None = None) -> list[str]:
    return [entry["name"] for entry in host_ports(TABLE, groups, features or [])]


def test_a_host_opens_only_what_its_groups_listen_on() -> None:
    assert names(["worker", "cluster"]) == ["kubelet"]
    assert names(["etcd"]) == ["etcd"]
    assert names(["mirror"]) == []


def test_what_listens_on_the_host_itself_is_never_opened() -> None:
    assert "metrics" not in names(["etcd"])


def test_an_optional_part_opens_ports_only_when_in_use() -> None:
    assert "VRRP" not in names(["control_plane"])
    assert "VRRP" in names(["control_plane"], ["vrrp"])


def test_rules_name_protocol_port_and_both_families_of_sources() -> None:
    assert input_rules(host_ports(TABLE, ["etcd"], []), NETWORKS) == [
        'ip saddr { 10.0.0.0/24 } tcp dport 2379 accept comment "etcd"',
        'ip6 saddr { fd00::/64 } tcp dport 2379 accept comment "etcd"',
    ]
    assert input_rules([TABLE[3]], {"nodes": ["10.0.0.0/24"]}) == [
        'ip saddr { 10.0.0.0/24 } meta l4proto vrrp accept comment "VRRP"'
    ]


def test_a_source_of_every_address_needs_no_match() -> None:
    assert input_rules([TABLE[4]], NETWORKS) == ['tcp dport 6443 accept comment "API"']


def test_an_unknown_source_is_refused_rather_than_left_out() -> None:
    with pytest.raises(ValueError, match=r"port etcd: unknown source 'nodes', known are pods"):
        input_rules([TABLE[0]], {"pods": []})


@pytest.mark.parametrize(
    ("cidrs", "matches"),
    [
        ([], []),
        (["0.0.0.0/0"], ["meta nfproto ipv4"]),
        (["10.0.0.0/8", "10.1.0.0/16"], ["ip saddr { 10.0.0.0/8 }"]),  # nftables refuses overlapping elements
        (["10.0.0.5/24"], ["ip saddr { 10.0.0.0/24 }"]),
    ],
)
def test_source_matches(cidrs: list[str], matches: list[str]) -> None:
    assert source_matches(cidrs) == matches
