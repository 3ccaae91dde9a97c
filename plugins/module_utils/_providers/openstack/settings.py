# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `infrastructure_settings`, `native.openstack` of a pool and of the whole may hold here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Problem
from ..reader import Reader
from ..rfc2136.settings import NameServer, name_server, without_secret
from ..spec import Disk, Pool, Spec

STORAGE = ("standard", "fast")


@dataclass(frozen=True)
class Settings:
    """cloud: its name in clouds.yaml; empty: the environment says it (OS_CLOUD, or OS_AUTH_URL and so on).

    external_network: the network that floating addresses come from, by name or id.
    dns_servers: whom machines ask for names. volume_types, encrypted_volume_types: {standard, fast: the cloud's name}.
    dns, tsig: the name server that has the endpoint's record, and the secret of its key; None and empty without one.
    """

    cloud: str = ""
    region: str = ""
    external_network: str = ""
    dns_servers: tuple[str, ...] = ()
    volume_types: Mapping[str, str] = field(default_factory=dict)
    encrypted_volume_types: Mapping[str, str] = field(default_factory=dict)
    dns: NameServer | None = None
    tsig: str = field(default="", repr=False)

    @classmethod
    def read(cls, value: Mapping[str, Any], problems: list[Problem]) -> Settings:
        reader = Reader(value, "settings", "infrastructure_settings", problems)
        names = reader.section("dns")
        settings = cls(
            cloud=reader.text("cloud", ""),
            region=reader.text("region", ""),
            external_network=reader.text("external_network", ""),
            dns_servers=reader.words("dns_servers"),
            volume_types=_types(reader.section("volume_types")),
            encrypted_volume_types=_types(reader.section("encrypted_volume_types")),
            dns=_dns(names) if value.get("dns") else None,
            tsig=_tsig(reader.mapping("secrets"), bool(value.get("dns")), problems),
        )
        for server in settings.dns_servers:
            try:
                ipaddress.ip_address(server)
            except ValueError:
                reader.problem(f"has {server!r}", "addresses", "dns_servers")
        reader.end()
        return settings

    def volume_type(self, disk: Disk) -> str:
        """The cloud's name for a disk's type; empty where the settings have none."""
        return (self.encrypted_volume_types if disk.encrypted else self.volume_types).get(disk.storage, "")


def _types(reader: Reader) -> dict[str, str]:
    found = {name: reader.text(name, "") for name in STORAGE}
    reader.end()
    return {name: value for name, value in found.items() if value}


def _dns(reader: Reader) -> NameServer:
    dns = name_server(reader)
    reader.end()
    return dns


def _tsig(secrets: Mapping[str, Any], needed: bool, problems: list[Problem]) -> str:
    """The secret of the name server's key. No message shows what was seen."""
    for name in sorted(set(secrets) - {"tsig"}):
        problems.append(Problem("secrets", f"{name} is no setting", "tsig", f"infrastructure_secrets.{name}"))
    tsig = secrets.get("tsig", "")
    if needed:
        problems += without_secret(tsig)
    elif tsig:
        seen = "tsig is set, and no name server is"
        problems.append(Problem("secrets", seen, "the server that it is for", "infrastructure_settings.dns"))
    return tsig if isinstance(tsig, str) else ""


@dataclass(frozen=True)
class NativePool:
    """flavor in place of cpu and memory_gib; image (a name or an id) in place of image."""

    flavor: str = ""
    image: str = ""

    @classmethod
    def read(cls, pool: Pool, problems: list[Problem]) -> NativePool:
        variable = f"infrastructure_pools[{pool.name}].native.openstack"
        reader = Reader(pool.native.get("openstack"), f"pool {pool.name}, native.openstack", variable, problems)
        native = cls(flavor=reader.text("flavor", ""), image=reader.text("image", ""))
        reader.end()
        return native


@dataclass(frozen=True)
class NativeNetwork:
    """subnet_id: the subnet of a network that exists."""

    subnet_id: str = ""

    @classmethod
    def read(cls, spec: Spec, problems: list[Problem]) -> NativeNetwork:
        reader = Reader(spec.native.get("openstack"), "native.openstack", "infrastructure_native.openstack", problems)
        native = cls(subnet_id=reader.text("subnet_id", ""))
        if spec.network.mode == "existing" and not native.subnet_id:
            reader.problem("is not set", "the id of a subnet, as infrastructure_network.mode is existing", "subnet_id")
        if spec.network.mode == "managed" and native.subnet_id:
            reader.problem("is set", "nothing, as infrastructure_network.mode is managed", "subnet_id")
        reader.end()
        return native
