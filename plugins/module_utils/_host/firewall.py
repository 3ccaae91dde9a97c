# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure core of the host firewall: the port table and a host's groups in, nftables matches out."""

from __future__ import annotations

import ipaddress


def host_ports(table: list[dict], groups: list[str], features: list[str]) -> list[dict]:
    """Return the entries of the port table that are open on a host of these groups.

    An entry: name, protocol (tcp, udp, vrrp), port (number or "first-last", absent for vrrp), groups that listen,
    sources (names of networks; empty for what listens on the host itself only), why, and optionally `feature`, without
    which the entry does not apply.
    """
    return [
        entry
        for entry in table
        if set(entry["groups"]) & set(groups)
        and entry["sources"]
        and (not entry.get("feature") or entry["feature"] in features)
    ]


def input_rules(entries: list[dict], networks: dict[str, list[str]]) -> list[str]:
    """Return one nftables rule (without indent) for each entry and address family that it allows.

    `networks`: {source name: [CIDR, ...]}. An unknown source is a `ValueError`, since leaving it out would close or,
    worse, open a port that no one decided about.
    """
    rules = []
    for entry in entries:
        cidrs: list[str] = []
        for source in entry["sources"]:
            if source not in networks:
                raise ValueError(
                    f"port {entry['name']}: unknown source '{source}', known are {', '.join(sorted(networks))}"
                )
            cidrs += networks[source]
        rules += [
            " ".join(part for part in (match, _destination(entry), "accept", f'comment "{entry["name"]}"') if part)
            for match in source_matches(cidrs)
        ]
    return rules


def source_matches(cidrs: list[str]) -> list[str]:
    """Return the nftables source matches for networks of both families: [""] where they hold every address.

    Networks that lie in one another are merged, because nftables refuses overlapping elements of one set.
    """
    parsed = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
    version4 = list(ipaddress.collapse_addresses(net for net in parsed if net.version == 4))
    version6 = list(ipaddress.collapse_addresses(net for net in parsed if net.version == 6))
    every4 = any(net.prefixlen == 0 for net in version4)
    every6 = any(net.prefixlen == 0 for net in version6)
    if every4 and every6:
        return [""]
    matches = []
    for family, protocol, networks, every in (("ip", "ipv4", version4, every4), ("ip6", "ipv6", version6, every6)):
        if every:
            matches.append(f"meta nfproto {protocol}")
        elif networks:
            matches.append(f"{family} saddr {{ {', '.join(str(net) for net in networks)} }}")
    return matches


def _destination(entry: dict) -> str:
    protocol = entry["protocol"]
    if protocol == "vrrp":
        return "meta l4proto vrrp"
    return f"{protocol} dport {entry['port']}"
