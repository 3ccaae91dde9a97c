# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `infrastructure_settings` holds for machines of one's own: the servers there are, and how to reach all of it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Problem
from ..reader import Reader, nearest
from ..rfc2136.settings import NameServer, name_server, without_secret

VARIABLE = "infrastructure_settings"
HTTPS = re.compile(r"https://[^/\s]+/?")
URL = re.compile(r"https?://\S+")


@dataclass(frozen=True)
class ServerDisk:
    """A disk beside the one that the operating system is on."""

    name: str
    size_gib: int
    storage: str = "standard"


@dataclass(frozen=True)
class Server:
    """A server that stands in a rack.

    bmc: the address of its management controller. system: its path or id there, needed where there are several.
    """

    name: str
    bmc: str
    system: str
    address: str
    cpu: int
    memory_gib: int
    architecture: str = "amd64"
    failure_domain: str = ""
    disks: tuple[ServerDisk, ...] = ()

    @property
    def size(self) -> str:
        return f"{self.cpu} CPUs, {self.memory_gib} GiB, {self.architecture}"


@dataclass(frozen=True)
class Boot:
    """How a server gets its operating system at its first start as a machine.

    method: `pxe` from the network once, `virtual_media` from `image` once, `disk` where it is installed already.
    image: URL of an ISO image, with {machine}, {server} and {image} (debian-12) filled in.
    """

    method: str = "pxe"
    image: str = ""
    mode: str = "uefi"


@dataclass(frozen=True)
class Secrets:
    """bmc_passwords: by the server's name, where one has another than the rest."""

    bmc_password: str = field(default="", repr=False)
    bmc_passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    tsig: str = field(default="", repr=False)


@dataclass(frozen=True)
class Settings:
    """vip: the address of the endpoint. object_store: URL of an S3 server of one's own that has the buckets."""

    servers: tuple[Server, ...]
    boot: Boot
    dns: NameServer
    secrets: Secrets
    vip: str = ""
    bmc_username: str = ""
    bmc_ca_file: str = ""
    shutdown_timeout: int = 120
    object_store: str = ""

    @classmethod
    def read(cls, value: Mapping[str, Any], problems: list[Problem]) -> Settings:
        reader = Reader(value, "settings", VARIABLE, problems)
        bmc = reader.section("bmc")
        settings = cls(
            servers=reader.sections("servers", "server", _server),
            boot=_boot(reader.section("boot")),
            dns=_dns(reader.section("dns")),
            secrets=_secrets(value.get("secrets"), problems),
            vip=_address(reader, "vip", ""),
            bmc_username=bmc.text("username"),
            bmc_ca_file=bmc.text("ca_file", ""),
            shutdown_timeout=reader.number("shutdown_timeout", 120, 1, 3600),
            object_store=reader.text("object_store", "", HTTPS, "a URL such as https://s3.example.org"),
        )
        bmc.end()
        reader.mapping("secrets")
        reader.end()
        return settings

    def server(self, name: str) -> Server | None:
        return next((server for server in self.servers if server.name == name), None)

    def password(self, server: Server) -> str:
        return self.secrets.bmc_passwords.get(server.name, self.secrets.bmc_password)


def _address(reader: Reader, name: str, default: str | None = None) -> str:
    value = reader.text(name, default, what="an address such as 192.0.2.11")
    try:
        return str(ipaddress.ip_address(value)) if value else ""
    except ValueError:
        reader.problem(f"is {value!r}", "an address such as 192.0.2.11", name)
        return ""


def _server(reader: Reader) -> Server:
    return Server(
        name=reader.label("name"),
        bmc=reader.text("bmc", None, HTTPS, "a URL such as https://10.0.0.11").rstrip("/"),
        system=reader.text("system", ""),
        address=_address(reader, "address"),
        cpu=reader.number("cpu", low=1, high=4096),
        memory_gib=reader.number("memory_gib", low=1, high=65536),
        architecture=reader.choice("architecture", ("amd64", "arm64"), "amd64"),
        failure_domain=reader.label("failure_domain", "main"),
        disks=reader.sections("disks", f"{reader.subject}, disk", _disk),
    )


def _disk(reader: Reader) -> ServerDisk:
    return ServerDisk(
        name=reader.label("name"),
        size_gib=reader.number("size_gib", low=1),
        storage=reader.choice("storage", ("standard", "fast"), "standard"),
    )


def _boot(reader: Reader) -> Boot:
    boot = Boot(
        method=reader.choice("method", ("pxe", "virtual_media", "disk"), "pxe"),
        image=reader.text("image", "", URL, "the URL of an ISO image"),
        mode=reader.choice("mode", ("uefi", "bios"), "uefi"),
    )
    if (boot.method == "virtual_media") != bool(boot.image):
        reader.problem("is not set" if not boot.image else "is set", "a URL with method virtual_media alone", "image")
    reader.end()
    return boot


def _dns(reader: Reader) -> NameServer:
    dns = replace(name_server(reader), zone=reader.domain("zone", ""))
    reader.end()
    return dns


def _secrets(value: Any, problems: list[Problem]) -> Secrets:
    """Read by hand: a message about a secret never shows what was seen."""
    names: dict[str, type] = {"bmc_password": str, "bmc_passwords": dict, "tsig": str}
    given = value if isinstance(value, Mapping) else {}

    def problem(seen: str, wanted: str, name: str = "") -> None:
        variable = f"infrastructure_secrets.{name}" if name else "infrastructure_secrets"
        problems.append(Problem("secrets", f"{name} {seen}".strip(), wanted, variable))

    for name in sorted(set(given) - set(names)):
        problem("is no setting", nearest(str(name), names), str(name))
    for name, kind in names.items():
        if not isinstance(given.get(name, kind()), kind):
            problem("is of another kind", "a text" if kind is str else "a mapping of servers to passwords", name)
            return Secrets()
    secrets = Secrets(given.get("bmc_password", ""), dict(given.get("bmc_passwords", {})), given.get("tsig", ""))
    if not secrets.bmc_password and not secrets.bmc_passwords:
        problem("is not set", "the password of the management controllers", "bmc_password")
    problems += without_secret(secrets.tsig)
    return secrets
