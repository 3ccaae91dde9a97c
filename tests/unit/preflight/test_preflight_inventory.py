# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of bad input that can be seen in the inventory alone, and that good inventories pass."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._preflight import inventory, problem, spec

SUPPORTED = ["1.35.4", "1.36.3"]
SHARED = {
    "cluster_name": "production",
    "cluster_endpoint": "api.example.org",
    "cluster_endpoint_port": 6443,
    "cluster_kubernetes_version": "1.36.3",
    "cluster_pod_cidr": "10.244.0.0/16",
    "cluster_pod_node_prefix": 24,
    "cluster_service_cidr": "10.96.0.0/16",
    "cluster_dns_domain": "cluster.local",
    "cluster_node_cidrs": ["192.0.2.0/24"],
    "network_provider": "flannel",
    "api_endpoint_vip": "192.0.2.100",
}


def site(workers: int = 1, **changes: Any) -> tuple[inventory.Groups, inventory.Values]:
    """A good inventory of one control-plane node and some workers; `changes` hold for all its hosts."""
    names = [f"worker{number}" for number in range(1, workers + 1)]
    groups = {"cluster": ["cp1", *names], "etcd": ["cp1"], "control_plane": ["cp1"], "worker": names}
    values = {
        host: {
            **copy.deepcopy(SHARED),
            "cluster_node_name": host,
            "cluster_node_address": f"192.0.2.{number}",
            **changes,
        }
        for number, host in enumerate(groups["cluster"], 11)
    }
    return groups, values


def report(groups: inventory.Groups, values: inventory.Values) -> list[str]:
    return problem.lines(inventory.check(groups, values, SUPPORTED))


@pytest.mark.parametrize("workers", [0, 1, 30])
def test_a_good_inventory_has_no_problem(workers: int) -> None:
    assert report(*site(workers)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cluster_name": None}, "inventory: cluster_name is not set; wanted a DNS label; change cluster_name"),
        ({"cluster_name": "Prod_1"}, "inventory: cluster_name is 'Prod_1'; wanted a DNS label; change cluster_name"),
        (
            {"cluster_endpoint": None},
            "inventory: cluster_endpoint is not set; wanted the DNS name; change cluster_endpoint",
        ),
        (
            {"cluster_endpoint": "192.0.2.100"},
            "inventory: cluster_endpoint is '192.0.2.100'; wanted a DNS name; change cluster_endpoint",
        ),
        (
            {"cluster_endpoint": "API.example.org"},
            "inventory: cluster_endpoint is 'API.example.org'; wanted a DNS name in lower case; change "
            "cluster_endpoint",
        ),
        (
            {"cluster_dns_domain": "cluster_local"},
            "inventory: cluster_dns_domain is 'cluster_local'; wanted a DNS name; change cluster_dns_domain",
        ),
        (
            {"cluster_kubernetes_version": "1.40.0"},
            "inventory: cluster_kubernetes_version is '1.40.0'; wanted one of 1.35.4, 1.36.3; change "
            "cluster_kubernetes_version",
        ),
        (
            {"cluster_kubernetes_version": "v1.36.3"},
            "inventory: cluster_kubernetes_version is 'v1.36.3'; wanted '1.36.3', without the v; change "
            "cluster_kubernetes_v",
        ),
        (
            {"cluster_kubernetes_version": "1.36"},
            "inventory: cluster_kubernetes_version is '1.36'; wanted one of 1.35.4, 1.36.3 (major.minor.patch); "
            "change clu",
        ),
        (
            {"cluster_service_cidr": "10.244.128.0/20"},
            "inventory: cluster_pod_cidr 10.244.0.0/16 and cluster_service_cidr 10.244.128.0/20 overlap; wanted "
            "networks "
            "that do not overlap; change cluster_pod_cidr or cluster_service_cidr",
        ),
        (
            {"cluster_pod_cidr": "192.0.0.0/16"},
            "inventory: cluster_pod_cidr 192.0.0.0/16 and cluster_node_cidrs 192.0.2.0/24 overlap; wanted networks "
            "that do "
            "not overlap; change cluster_pod_cidr or cluster_node_cidrs",
        ),
        (
            {"cluster_pod_cidr": "10.244.1.0/16"},
            "inventory: cluster_pod_cidr is '10.244.1.0/16'; wanted a network: '10.244.0.0/16'; change "
            "cluster_pod_cidr",
        ),
        (
            {"cluster_pod_cidr": "everything"},
            "inventory: cluster_pod_cidr is 'everything'; wanted a network in CIDR notation; change cluster_pod_cidr",
        ),
        (
            {"cluster_pod_cidr": "10.244.0.0/24"},
            "inventory: cluster_pod_cidr 10.244.0.0/24 has room for 1 nodes with a /24 each; wanted room for 2; change "
            "cluster_pod_cidr (larger) or cluster_pod_node_prefix (longer)",
        ),
        (
            {"cluster_pod_node_prefix": 27},
            "inventory: cluster_pod_node_prefix /27 gives a node 30 pod addresses; wanted at least 110; change "
            "cluster_pod_node_prefix (shorter)",
        ),
        (
            {"cluster_pod_node_prefix": 12},
            "inventory: cluster_pod_node_prefix is 12 with cluster_pod_cidr 10.244.0.0/16; wanted a number from 16 "
            "to 32; "
            "change cluster_pod_node_prefix",
        ),
        (
            {"cluster_service_cidr": "10.96.0.0/30"},
            "inventory: cluster_service_cidr is 10.96.0.0/30, too small; wanted a prefix length from 12 to 28; change "
            "cluster_service_cidr",
        ),
        (
            {"cluster_service_cidr": "64.0.0.0/4"},
            "inventory: cluster_service_cidr is 64.0.0.0/4, too large; wanted a prefix length from 12 to 28; change",
        ),
        (
            {"cluster_service_cidr": "fd00::/112"},
            "inventory: cluster_pod_cidr is 10.244.0.0/16 and cluster_service_cidr is fd00::/112; wanted both of the "
            "same IP",
        ),
        (
            {"cluster_node_cidrs": []},
            "inventory: cluster_node_cidrs is not set; wanted a list of the networks; change cluster_node_cidrs",
        ),
        (
            {"api_endpoint_vip": "198.51.100.1"},
            "inventory: api_endpoint_vip is 198.51.100.1; wanted an IP address in 192.0.2.0/24; change "
            "api_endpoint_vip",
        ),
        (
            {"api_endpoint_vip": "192.0.2.11"},
            "cp1: api_endpoint_vip 192.0.2.11 is this host's own address; wanted an unused address; change "
            "api_endpoint_vip",
        ),
        (
            {"api_endpoint_vip": "vip.example.org"},
            "inventory: api_endpoint_vip is 'vip.example.org'; wanted an IP address; change api_endpoint_vip",
        ),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], expected: str) -> None:
    assert_one(report(*site(**changes)), expected)


def assert_one(lines: list[str], expected: str) -> None:
    """One line, with what `expected` says in each of its parts (the test names the start of every part)."""
    assert len(lines) == 1, lines
    parts, wanted = lines[0].split("; "), expected.split("; ")
    assert len(parts) == 3, lines[0]
    for part, start in zip(parts, wanted):
        assert part.startswith(start), f"{part!r} does not start with {start!r}"


@pytest.mark.parametrize(
    ("host_changes", "expected"),
    [
        (
            {"cluster_node_address": "192.0.2.11"},
            "worker1: cluster_node_address 192.0.2.11 is also that of cp1; wanted a different address; change "
            "ansible_host",
        ),
        (
            {"cluster_node_name": "cp1"},
            "worker1: cluster_node_name cp1 is also that of cp1; wanted a different name; change cluster_node_name",
        ),
        (
            {"cluster_node_name": "Worker1"},
            "worker1: cluster_node_name is 'Worker1'; wanted lower case: 'worker1'; change the host's name in the "
            "inventory, or "
            "cluster_node_name",
        ),
        (
            {"cluster_node_name": "wörker"},
            "worker1: cluster_node_name is 'wörker'; wanted ASCII letters, digits, hyphens and dots; change the "
            "host's name",
        ),
        (
            {"cluster_node_name": "w" * 64},
            f"worker1: cluster_node_name is '{'w' * 64}'; wanted at most 63 characters (it has 64); change the "
            f"host's name",
        ),
        (
            {"cluster_node_name": "worker_1"},
            "worker1: cluster_node_name is 'worker_1'; wanted a DNS name; change the host's name in the inventory",
        ),
        (
            {"cluster_node_name": "192.0.2.77"},
            "worker1: cluster_node_name is '192.0.2.77'; wanted a name, not an address; change the host's name",
        ),
        (
            {"cluster_node_name": "api.example.org"},
            "worker1: cluster_node_name api.example.org is also cluster_endpoint; wanted a name of its own; change "
            "cluster_",
        ),
        (
            {"cluster_node_address": "198.51.100.7"},
            "worker1: cluster_node_address is 198.51.100.7; wanted an IP address in 192.0.2.0/24; change "
            "cluster_node_address or "
            "cluster_node_cidrs",
        ),
        (
            {"cluster_node_address": "worker1.example.org"},
            "worker1: cluster_node_address is 'worker1.example.org'; wanted an IP address in; change ansible_host or "
            "cluster_n",
        ),
        (
            {"cluster_pod_cidr": "10.245.0.0/16"},
            "worker1: cluster_pod_cidr is '10.245.0.0/16'; wanted '10.244.0.0/16', as on the other hosts; change "
            "cluster_pod",
        ),
    ],
)
def test_bad_hosts_are_named(host_changes: dict[str, Any], expected: str) -> None:
    groups, values = site(2)
    values["worker1"].update(host_changes)
    assert_one(report(groups, values), expected)


def test_a_host_without_an_address_is_named() -> None:
    groups, values = site()
    del values["worker1"]["cluster_node_address"]
    assert_one(report(groups, values), "worker1: the host has no address; wanted an IP address; change ansible_host")


@pytest.mark.parametrize(
    ("count", "good"), [(0, False), (1, True), (2, False), (3, True), (4, False), (5, True), (7, False)]
)
def test_etcd_has_one_three_or_five_members(count: int, good: bool) -> None:
    groups, values = site(7)
    groups["etcd"] = groups["cluster"][:count]
    lines = report(groups, values)
    if good:
        assert lines == []
    else:
        names = ", ".join(groups["etcd"]) or "none"
        assert_one(lines, f"inventory: {count} etcd members ({names}); wanted 1, 3 or 5; change the group etcd")


def test_a_control_plane_is_wanted() -> None:
    groups, values = site()
    groups["control_plane"] = []
    assert_one(
        report(groups, values), "inventory: no control-plane host; wanted at least 1; change the group control_plane"
    )


def test_an_empty_inventory_is_refused() -> None:
    assert_one(report({}, {}), "inventory: the group cluster has no host; wanted hosts in etcd; change the inventory")


def test_all_problems_are_reported_together() -> None:
    groups, values = site(2, cluster_name="X", cluster_endpoint="10.0.0.1")
    values["worker2"]["cluster_node_address"] = "192.0.2.12"
    groups["etcd"] = []
    assert len(report(groups, values)) == 4


def test_hosts_with_the_same_problem_share_a_line() -> None:
    found = [problem.Problem(f"w{number}", "seen", "this", "x") for number in range(10)]
    assert problem.lines(found) == ["w0, w1, w2, w3 and 6 others: seen; wanted this; change x"]
    assert problem.lines(found, total=10) == ["all 10 hosts: seen; wanted this; change x"]
    assert problem.message(found, "the hosts").splitlines()[0] == (
        "Preflight found 1 problem in the hosts. Nothing was changed on any host."
    )


def lines_executed(work: Callable[[], object]) -> int:
    """How many lines of Python `work` runs through: its cost, the same on every machine and at every load."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_the_cost_per_host_does_not_grow() -> None:
    def cost(count: int) -> float:
        groups, values = site(
            count, cluster_node_cidrs=["10.0.0.0/8"], cluster_pod_cidr="172.16.0.0/12", api_endpoint_vip=""
        )
        values = {
            host: {
                **own,
                "cluster_node_address": f"10.1.{number // 250}.{number % 250 + 1}",
                "cluster_service_cidr": "11.0.0.0/16",
            }
            for number, (host, own) in enumerate(values.items())
        }
        problems: list[object] = []
        lines = lines_executed(lambda: problems.extend(report(groups, values)))
        assert problems == []
        return lines / count

    assert cost(1000) < 1.1 * cost(100)


# -- names and types ---------------------------------------------------------------------------------------------------

KNOWN = ["cluster_name", "cluster_endpoint", "cluster_pod_cidr", "etcd_version", "network_provider", "node_sysctls"]
ROLES = ["cluster", "etcd", "network", "node"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("clutser_name", "cluster_name"),
        ("cluster_endpiont", "cluster_endpoint"),
        ("cluster_pod_cird", "cluster_pod_cidr"),
        ("etcd_versoin", "etcd_version"),
        ("netwrok_provider", "network_provider"),
        ("etcd_something_else", ""),
    ],
)
def test_unknown_names_are_found_with_the_nearest(name: str, near: str) -> None:
    assert spec.unknown([name, "cluster_name"], KNOWN, ROLES) == {name: near}


@pytest.mark.parametrize(
    "name", ["cluster_name", "ansible_host", "__etcd_x", "my_domain", "inventory_hostname_short", "groups", "omit"]
)
def test_known_and_foreign_names_are_left_alone(name: str) -> None:
    assert spec.unknown([name], KNOWN, ROLES) == {}


def test_a_name_can_be_ignored() -> None:
    assert spec.unknown(["node_room"], KNOWN, ROLES) == {"node_room": ""}
    assert spec.unknown(["node_room"], KNOWN, ROLES, ignored=["node_room"]) == {}


PORTS = {
    "type": "list",
    "elements": "dict",
    "options": {
        "port": {"type": "int", "required": True},
        "protocol": {"type": "str", "choices": ["tcp", "udp"]},
        "hosts": {"type": "list", "elements": "str"},
    },
}


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ({"type": "int"}, "abc", ("x is 'abc'", "a whole number")),
        ({"type": "int"}, True, ("x is True (a bool)", "a whole number")),
        ({"type": "int"}, 1.5, ("x is 1.5 (a number)", "a whole number")),
        ({"type": "str"}, 1.36, ("x is 1.36 (a number)", 'a string, in quotes: "1.36"')),
        ({"type": "str"}, ["a"], ("x is ['a'] (a list)", "a string")),
        ({"type": "bool"}, "perhaps", ("x is 'perhaps'", "true or false")),
        ({"type": "float"}, "fast", ("x is 'fast'", "a number")),
        ({"type": "list"}, "a,b", ("x is 'a,b'", "a list")),
        ({"type": "dict"}, [], ("x is [] (a list)", "a dictionary")),
        ({"type": "list", "elements": "int"}, [1, "b"], ("x[1] is 'b'", "a whole number")),
        ({"type": "str", "choices": ["hosts", "dns"]}, "host", ("x is 'host'", "one of hosts, dns (hosts?)")),
        ({"type": "list", "elements": "str", "choices": ["a"]}, ["b"], ("x is 'b'", "one of a")),
        (PORTS, [{"port": 1, "protocl": "tcp"}], ("x[0] has the unknown key protocl", "protocol")),
        (PORTS, [{"port": 1, "colour": "red"}], ("x[0] has the unknown key colour", "one of hosts, port, protocol")),
        (PORTS, [{"protocol": "tcp"}], ("x[0] has no port", "a whole number there")),
        (PORTS, [{"port": "http"}], ("x[0].port is 'http'", "a whole number")),
        (PORTS, [{"port": 1, "protocol": "icmp"}], ("x[0].protocol is 'icmp'", "one of tcp, udp")),
        (PORTS, [{"port": 1, "hosts": "all"}], ("x[0].hosts is 'all'", "a list")),
        ({"type": "str", "required": True}, None, ("x is empty", "a string")),
        ({"type": "int", "no_log": True}, "hunter2", ("x is (hidden)", "a whole number")),
    ],
)
def test_wrong_values_are_described(entry: dict[str, Any], value: Any, expected: tuple[str, str]) -> None:
    assert list(spec.mistakes("x", entry, value)) == [expected]


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ({"type": "int"}, 5),
        ({"type": "int"}, "6443"),
        ({"type": "bool"}, "yes"),
        ({"type": "float"}, 1),
        ({"type": "str"}, ""),
        ({"type": "str"}, None),
        ({"type": "raw"}, [{"a": 1}]),
        ({"type": "dict"}, {"anything": 1}),
        (PORTS, [{"port": 1, "protocol": "udp", "hosts": ["a"]}]),
        ({"type": "int", "choices": [1, 2]}, "2"),
    ],
)
def test_right_values_pass(entry: dict[str, Any], value: Any) -> None:
    assert list(spec.mistakes("x", entry, value)) == []


def test_secrets_are_never_shown() -> None:
    seen = " ".join(word for pair in spec.mistakes("etcd_password", {"type": "int"}, "hunter2") for word in pair)
    assert "hunter2" not in seen


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "5", 5),
        ("float", "1.5", 1.5),
        ("bool", "no", False),
        ("bool", "True", True),
        ("str", "5", "5"),
        ("int", "x", "x"),
    ],
)
def test_values_of_the_command_line_are_converted(kind: str, value: str, expected: Any) -> None:
    assert spec.converted(kind, value) == expected
