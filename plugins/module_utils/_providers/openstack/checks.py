# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenStack can never do of a description, whatever the cloud. Offline."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem
from ..spec import Disk, Pool, Spec
from .settings import NativeNetwork, NativePool, Settings


def settings(value: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    Settings.read(value, problems)
    return problems


def description(spec: Spec, settings: Settings) -> list[Problem]:
    problems: list[Problem] = []
    NativeNetwork.read(spec, problems)
    problems += _whole(spec)
    problems += _names(spec, settings)
    for pool in spec.pools:
        NativePool.read(pool, problems)
        problems += _pool(pool, settings)
    return problems


def _whole(spec: Spec) -> Iterator[Problem]:
    network = spec.network
    if network.mode == "managed" and ipaddress.ip_network(network.cidr).version != 4:
        # Floating addresses, and the way out through a router, are there for IPv4.
        yield Problem("network", f"cidr is {network.cidr}", "an IPv4 network", "infrastructure_network.cidr")
    outside = spec.endpoint.public and spec.endpoint.mode in ("auto", "vip") and "control_plane" in spec.roles
    if network.mode == "managed" and network.egress == "none" and outside:
        seen = "public is true, and the network's egress is none: a router leads both ways"
        yield Problem("endpoint", seen, "public: false, or egress: nat", "infrastructure_endpoint.public")


def _names(spec: Spec, settings: Settings) -> Iterator[Problem]:
    """Designate is an option that few clouds have. A name server of the user's own stands in."""
    if not spec.dns.manage:
        return
    if not settings.dns:
        wanted = f"the name server that takes updates of {spec.dns.zone} (RFC 2136)"
        change = "infrastructure_settings.dns, or infrastructure_dns.manage: false"
        yield Problem("settings", "dns is not set, and OpenStack has no names of its own", wanted, change)
    network, endpoint = spec.network, spec.endpoint
    if endpoint.mode == "dns" and endpoint.public and (network.mode, network.egress) != ("managed", "direct"):
        seen = "public is true and mode is dns, and machines have no addresses outside"
        wanted = "public: false, mode: vip, or a network with egress: direct"
        yield Problem("endpoint", seen, wanted, "infrastructure_endpoint.public")


def _pool(pool: Pool, settings: Settings) -> Iterator[Problem]:
    subject, variable = f"pool {pool.name}", f"infrastructure_pools[{pool.name}]"
    disks = [("root_disk", pool.root_disk), *((f"data_disks[{disk.name}]", disk) for disk in pool.data_disks)]
    for name, disk in disks:
        if not settings.volume_type(disk):
            setting, word = _setting(disk)
            seen = f"{name} is {disk.storage} and {word}, and {setting} has no {disk.storage}"
            other = f"{setting}.{disk.storage}, or {variable}.{name}.encrypted"
            yield Problem(subject, seen, f"the cloud's volume type for disks that are {word}", other)


def _setting(disk: Disk) -> tuple[str, str]:
    if disk.encrypted:
        return "infrastructure_settings.encrypted_volume_types", "encrypted"
    return "infrastructure_settings.volume_types", "not encrypted"
