# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of an inventory before any of its hosts is contacted. Pure: values in, problems out.

Every check takes time linear in the number of hosts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Union

from .problem import Problem
from .spec import shown

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
# host -> variable -> value; a variable that is not set (nor has a default) is not there
Values = dict[str, dict[str, Any]]
Groups = dict[str, list[str]]

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
VERSION = re.compile(r"\d+\.\d+\.\d+")
ETCD_COUNTS = (1, 3, 5)
GROUPS = ("etcd", "control_plane", "worker")
EVERYWHERE = "inventory"
# The same for every host of a cluster; what is not here may differ.
SHARED = (
    "cluster_name",
    "cluster_endpoint",
    "cluster_endpoint_port",
    "cluster_kubernetes_version",
    "cluster_pod_cidr",
    "cluster_pod_node_prefix",
    "cluster_service_cidr",
    "cluster_dns_domain",
    "cluster_node_cidrs",
    "cluster_name_resolution",
    "network_provider",
    "api_endpoint_vip",
)
# Largest difference of prefix lengths that kube-controller-manager's allocator takes; smallest prefix of Services.
LARGEST_NODE_BITS = 16
LARGEST_SERVICE_BITS = 20
SMALLEST_SERVICE_BITS = 4


def members(groups: Groups) -> list[str]:
    """The cluster's hosts, each once, in the order of the groups."""
    return list(dict.fromkeys(host for group in ("cluster", *GROUPS) for host in groups.get(group, ())))


def check(groups: Groups, values: Values, supported: list[str], pods_per_node: int = 110) -> list[Problem]:
    """All problems of the inventory, apart from names and types."""
    hosts = members(groups)
    if not hosts:
        return [
            Problem(
                EVERYWHERE, "the group cluster has no host", "hosts in etcd, control_plane and worker", "the inventory"
            )
        ]
    problems = [*check_groups(groups), *check_shared(hosts, values)]
    # What is shared is looked at once, in the first host that has it: differing values were reported above.
    one = {name: next((values[host][name] for host in hosts if name in values.get(host, {})), None) for name in SHARED}
    problems += check_names(one)
    problems += check_version(one["cluster_kubernetes_version"], supported)
    problems += check_networks(one, len({*groups.get("control_plane", ()), *groups.get("worker", ())}), pods_per_node)
    problems += check_nodes(hosts, values, one)
    return problems


def check_groups(groups: Groups) -> Iterator[Problem]:
    count = len(groups.get("etcd", ()))
    if count not in ETCD_COUNTS:
        names = ", ".join(groups.get("etcd", ())) or "none"
        why = "1, 3 or 5 (an even number tolerates no more losses than one less)"
        yield Problem(EVERYWHERE, f"{count} etcd members ({names})", why, "the group etcd")
    if not groups.get("control_plane"):
        yield Problem(EVERYWHERE, "no control-plane host", "at least 1", "the group control_plane")


def check_shared(hosts: list[str], values: Values) -> Iterator[Problem]:
    for name in SHARED:
        found: dict[str, list[str]] = {}
        for host in hosts:
            if name in values.get(host, {}):
                found.setdefault(str(values[host][name]), []).append(host)
        if len(found) > 1:
            common = max(found, key=lambda value: len(found[value]))
            for value, own in found.items():
                if value != common:
                    for host in own:
                        yield Problem(
                            host, f"{name} is {shown(value)}", f"{shown(common)}, as on the other hosts", name
                        )


def check_names(one: dict[str, Any]) -> Iterator[Problem]:
    name, endpoint, domain = one["cluster_name"], one["cluster_endpoint"], one["cluster_dns_domain"]
    if not name:
        yield Problem(EVERYWHERE, "cluster_name is not set", "a DNS label, such as production", "cluster_name")
    elif not LABEL.fullmatch(str(name)):
        wanted = "a DNS label: lower-case letters, digits and hyphens, at most 63"
        yield Problem(EVERYWHERE, f"cluster_name is {shown(name)}", wanted, "cluster_name")
    if not endpoint:
        wanted = "the DNS name of the API, such as api.example.org"
        yield Problem(EVERYWHERE, "cluster_endpoint is not set", wanted, "cluster_endpoint")
    elif is_address(endpoint):
        wanted = "a DNS name: it is in every certificate, and must outlive the addresses behind it"
        yield Problem(EVERYWHERE, f"cluster_endpoint is {shown(endpoint)}", wanted, "cluster_endpoint")
    elif not is_dns_name(endpoint):
        yield Problem(
            EVERYWHERE, f"cluster_endpoint is {shown(endpoint)}", "a DNS name in lower case", "cluster_endpoint"
        )
    if domain is not None and not is_dns_name(domain):
        yield Problem(
            EVERYWHERE, f"cluster_dns_domain is {shown(domain)}", "a DNS name in lower case", "cluster_dns_domain"
        )


def check_version(version: Any, supported: list[str]) -> Iterator[Problem]:
    if version is None or str(version) in supported:
        return
    wanted = f"one of {', '.join(supported)}"
    if str(version).lstrip("v") in supported:
        wanted = f"'{str(version).lstrip('v')}', without the v"
    elif not VERSION.fullmatch(str(version)):
        wanted += " (major.minor.patch)"
    yield Problem(EVERYWHERE, f"cluster_kubernetes_version is {shown(version)}", wanted, "cluster_kubernetes_version")


def check_networks(one: dict[str, Any], nodes: int, pods_per_node: int) -> Iterator[Problem]:
    named: list[tuple[str, Network]] = []
    if not one["cluster_node_cidrs"]:
        wanted = "a list of the networks the nodes live in"
        yield Problem(EVERYWHERE, "cluster_node_cidrs is not set", wanted, "cluster_node_cidrs")
    cidrs = [("cluster_pod_cidr", one["cluster_pod_cidr"]), ("cluster_service_cidr", one["cluster_service_cidr"])]
    cidrs += [("cluster_node_cidrs", value) for value in as_list(one["cluster_node_cidrs"])]
    for name, value in cidrs:
        if value is None:
            continue
        try:
            named.append((name, ipaddress.ip_network(str(value))))
        except ValueError:
            yield Problem(EVERYWHERE, f"{name} is {shown(value)}", cidr_hint(value), name)
    for index, (name, network) in enumerate(named):
        for other, second in named[:index]:
            if network.version == second.version and network.overlaps(second) and name != other:
                wanted = "networks that do not overlap"
                yield Problem(
                    EVERYWHERE, f"{other} {second} and {name} {network} overlap", wanted, f"{other} or {name}"
                )
    found = {name: network for name, network in named if name != "cluster_node_cidrs"}
    pods, services = found.get("cluster_pod_cidr"), found.get("cluster_service_cidr")
    if pods and services and pods.version != services.version:
        seen = f"cluster_pod_cidr is {pods} and cluster_service_cidr is {services}"
        yield Problem(EVERYWHERE, seen, "both of the same IP version", "cluster_service_cidr")
    if pods:
        yield from check_pod_sizes(pods, one["cluster_pod_node_prefix"], nodes, pods_per_node)
    if services:
        bits = services.max_prefixlen - services.prefixlen
        if not SMALLEST_SERVICE_BITS <= bits <= LARGEST_SERVICE_BITS:
            low = services.max_prefixlen - LARGEST_SERVICE_BITS
            high = services.max_prefixlen - SMALLEST_SERVICE_BITS
            size = "small" if bits < SMALLEST_SERVICE_BITS else "large"
            seen = f"cluster_service_cidr is {services}, too {size}"
            yield Problem(EVERYWHERE, seen, f"a prefix length from {low} to {high}", "cluster_service_cidr")


def check_pod_sizes(pods: Network, prefix: Any, nodes: int, pods_per_node: int) -> Iterator[Problem]:
    try:
        length = int(prefix)
    except (TypeError, ValueError):
        return
    if not pods.prefixlen <= length <= pods.max_prefixlen:
        seen = f"cluster_pod_node_prefix is {length} with cluster_pod_cidr {pods}"
        yield Problem(
            EVERYWHERE, seen, f"a number from {pods.prefixlen} to {pods.max_prefixlen}", "cluster_pod_node_prefix"
        )
        return
    room = 1 << (length - pods.prefixlen)
    if room < nodes:
        seen = f"cluster_pod_cidr {pods} has room for {room} nodes with a /{length} each"
        yield Problem(
            EVERYWHERE, seen, f"room for {nodes}", "cluster_pod_cidr (larger) or cluster_pod_node_prefix (longer)"
        )
    if length - pods.prefixlen > LARGEST_NODE_BITS:
        seen = f"cluster_pod_node_prefix is {length} with cluster_pod_cidr {pods}"
        yield Problem(EVERYWHERE, seen, f"at most {pods.prefixlen + LARGEST_NODE_BITS}", "cluster_pod_node_prefix")
    # Network and broadcast address are not given to pods.
    addresses = (1 << (pods.max_prefixlen - length)) - 2
    if addresses < pods_per_node:
        seen = f"cluster_pod_node_prefix /{length} gives a node {max(0, addresses)} pod addresses"
        wanted = f"at least {pods_per_node}"
        yield Problem(EVERYWHERE, seen, wanted, "cluster_pod_node_prefix (shorter) or preflight_pods_per_node")


def check_nodes(hosts: list[str], values: Values, one: dict[str, Any]) -> Iterator[Problem]:
    """Names and addresses of the nodes: well-formed, inside the nodes' networks, and each only once."""
    networks = []
    for value in as_list(one["cluster_node_cidrs"]):
        try:
            networks.append(ipaddress.ip_network(str(value)))
        except ValueError:
            continue
    by_address: dict[str, list[str]] = {}
    by_name: dict[str, list[str]] = {}
    inside = f"an IP address in {', '.join(map(str, networks))}"
    for host in hosts:
        own = values.get(host, {})
        name = own.get("cluster_node_name")
        if name is not None:
            by_name.setdefault(str(name).lower(), []).append(host)
            yield from check_node_name(host, str(name))
        address = own.get("cluster_node_address")
        if address is None or address == "":
            yield Problem(host, "the host has no address", inside, "ansible_host or cluster_node_address")
            continue
        if not is_address(address):
            yield Problem(
                host, f"cluster_node_address is {shown(address)}", inside, "ansible_host or cluster_node_address"
            )
            continue
        parsed = ipaddress.ip_address(str(address))
        by_address.setdefault(str(parsed), []).append(host)
        if networks and not any(parsed in network for network in networks):
            yield Problem(
                host, f"cluster_node_address is {address}", inside, "cluster_node_address or cluster_node_cidrs"
            )
    for address, own_hosts in by_address.items():
        for host in own_hosts[1:]:
            seen = f"cluster_node_address {address} is also that of {own_hosts[0]}"
            yield Problem(host, seen, "a different address for each host", "ansible_host or cluster_node_address")
    for name, own_hosts in by_name.items():
        for host in own_hosts[1:]:
            seen = f"cluster_node_name {name} is also that of {own_hosts[0]}"
            yield Problem(host, seen, "a different name for each host", "cluster_node_name")
    endpoint = one["cluster_endpoint"]
    for host in by_name.get(str(endpoint), ()):
        seen = f"cluster_node_name {endpoint} is also cluster_endpoint"
        yield Problem(host, seen, "a name of its own for the API", "cluster_endpoint or cluster_node_name")
    yield from check_vip(one["api_endpoint_vip"], networks, by_address, inside)


def check_node_name(host: str, name: str) -> Iterator[Problem]:
    if not name.isascii():
        wanted = "ASCII letters, digits, hyphens and dots"
    elif name != name.lower():
        wanted = f"lower case: '{name.lower()}'"
    elif len(name) > 63:
        wanted = f"at most 63 characters (it has {len(name)})"
    elif not is_dns_name(name):
        wanted = "a DNS name: lower-case letters, digits, hyphens and dots"
    elif is_address(name):
        wanted = "a name, not an address"
    else:
        return
    yield Problem(
        host, f"cluster_node_name is {shown(name)}", wanted, "the host's name in the inventory, or cluster_node_name"
    )


def check_vip(vip: Any, networks: list[Network], by_address: dict[str, list[str]], inside: str) -> Iterator[Problem]:
    if not vip:
        return
    if not is_address(vip):
        yield Problem(EVERYWHERE, f"api_endpoint_vip is {shown(vip)}", inside, "api_endpoint_vip")
        return
    parsed = ipaddress.ip_address(str(vip))
    if networks and not any(parsed in network for network in networks):
        yield Problem(EVERYWHERE, f"api_endpoint_vip is {vip}", inside, "api_endpoint_vip or cluster_node_cidrs")
    for host in by_address.get(str(parsed), ()):
        yield Problem(
            host, f"api_endpoint_vip {vip} is this host's own address", "an unused address", "api_endpoint_vip"
        )


def is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return True


def is_dns_name(value: Any) -> bool:
    return len(str(value)) <= 253 and all(LABEL.fullmatch(label) for label in str(value).split("."))


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def cidr_hint(value: Any) -> str:
    """A network in CIDR notation; where only bits of the host part are set, the network that was meant."""
    try:
        return f"a network: '{ipaddress.ip_network(str(value), strict=False)}'"
    except ValueError:
        return "a network in CIDR notation, such as 10.0.0.0/16"
