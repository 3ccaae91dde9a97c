# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `infrastructure_settings` holds for machines that are containers on the controller."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Problem
from ..reader import Reader

# podman's settings that node containers need, as the role that made them first has them.
CONTAINERS_CONF = Path(__file__).resolve().parents[4] / "roles" / "local_machines" / "files" / "containers.conf"


@dataclass(frozen=True)
class Mirror:
    """name: by which machines know it. directory: what it serves, on the controller."""

    name: str = ""
    directory: str = ""


@dataclass(frozen=True)
class Settings:
    """ssh_directory: on the controller, for the user key, the machines' host keys and known_hosts.

    image: a name, of which the newest tag is taken, or a name and a tag. vip: the address of the endpoint.
    boot_timeout: seconds until a machine's SSH server answers; 0 does not wait for it. mirror: one more machine, which
    has what machines without a way out install.
    """

    ssh_directory: str
    vip: str = ""
    image: str = "localhost/caravan-node"
    containers_conf: str = str(CONTAINERS_CONF)
    boot_timeout: int = 120
    mirror: Mirror = Mirror()

    @classmethod
    def read(cls, value: Mapping[str, Any], problems: list[Problem]) -> Settings:
        reader = Reader(value, "settings", "infrastructure_settings", problems)
        mirror = reader.section("mirror")
        settings = cls(
            ssh_directory=reader.text("ssh_directory", what="a directory on the controller"),
            vip=_address(reader, "vip"),
            image=reader.text("image", cls.image),
            containers_conf=reader.text("containers_conf", cls.containers_conf),
            boot_timeout=reader.number("boot_timeout", cls.boot_timeout, 0, 3600),
            mirror=Mirror(mirror.domain("name", ""), mirror.text("directory", "")),
        )
        if bool(settings.mirror.name) != bool(settings.mirror.directory):
            reader.problem("has one of name and directory", "both, or none", "mirror")
        mirror.end()
        reader.end()
        return settings


def _address(reader: Reader, name: str) -> str:
    value = reader.text(name, "")
    try:
        return str(ipaddress.ip_address(value)) if value else ""
    except ValueError:
        reader.problem(f"is {value!r}", "an address such as 10.0.0.100", name)
        return ""
