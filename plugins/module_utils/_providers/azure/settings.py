# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `infrastructure_settings` and `native.azure` may hold here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import Problem
from ..reader import Reader
from ..spec import Pool, Spec

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
LOCATION = re.compile(r"[a-z0-9]+")
GROUP = re.compile(r"[\w.()-]{0,89}[\w()-]")
URL = re.compile(r"https://[^/\s]+")
SUBNET = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+", re.I
)


@dataclass(frozen=True)
class Settings:
    """tenant_id: the directory of the subscription, which key vaults ask for.

    resource_group: one that exists; empty: the cluster makes its own.

    resource_manager, authority: the cloud's own addresses, for Azure China, Azure Government or Azure Stack Hub.
    ca_file: PEM file of the authority of these addresses, where the machine does not know it.
    """

    subscription_id: str
    location: str
    tenant_id: str = ""
    resource_group: str = ""
    resource_manager: str = "https://management.azure.com"
    authority: str = "https://login.microsoftonline.com"
    ca_file: str = ""

    @classmethod
    def read(cls, value: Mapping[str, Any], problems: list[Problem]) -> Settings:
        reader = Reader(value, "settings", "infrastructure_settings", problems)
        settings = cls(
            subscription_id=reader.text("subscription_id", pattern=UUID, what="the subscription's UUID"),
            location=reader.text("location", pattern=LOCATION, what="a location such as westeurope"),
            tenant_id=reader.text("tenant_id", "", UUID, "the UUID of the subscription's directory"),
            resource_group=reader.text("resource_group", "", GROUP, "the name of a resource group"),
            resource_manager=reader.text("resource_manager", cls.resource_manager, URL, "a URL with https"),
            authority=reader.text("authority", cls.authority, URL, "a URL with https"),
            ca_file=reader.text("ca_file", ""),
        )
        reader.end()
        return settings

    def group(self, infra_id: str) -> str:
        """The name of the resource group that everything is in."""
        return self.resource_group or infra_id

    def group_id(self, infra_id: str) -> str:
        return f"/subscriptions/{self.subscription_id}/resourcegroups/{self.group(infra_id)}".lower()


@dataclass(frozen=True)
class NativePool:
    """vm_size in place of cpu and memory_gib; image (publisher, offer, sku) or image_id in place of image."""

    vm_size: str = ""
    image: tuple[str, str, str] | None = None
    image_id: str = ""

    @classmethod
    def read(cls, pool: Pool, problems: list[Problem]) -> NativePool:
        variable = f"infrastructure_pools[{pool.name}].native.azure"
        reader = Reader(pool.native.get("azure"), f"pool {pool.name}, native.azure", variable, problems)
        image = None
        if reader.mapping("image"):
            inner = reader.section("image", f"pool {pool.name}, native.azure.image")
            image = (inner.text("publisher"), inner.text("offer"), inner.text("sku"))
            inner.end()
        native = cls(vm_size=reader.text("vm_size", ""), image=image, image_id=reader.text("image_id", ""))
        reader.end()
        return native


@dataclass(frozen=True)
class NativeNetwork:
    """subnet_id: the subnet of a network that exists."""

    subnet_id: str = ""

    @classmethod
    def read(cls, spec: Spec, problems: list[Problem]) -> NativeNetwork:
        reader = Reader(spec.native.get("azure"), "native.azure", "infrastructure_native.azure", problems)
        native = cls(subnet_id=reader.text("subnet_id", "", SUBNET, "the whole id of a subnet"))
        if spec.network.mode == "existing" and not native.subnet_id:
            reader.problem("is not set", "the id of a subnet, as infrastructure_network.mode is existing", "subnet_id")
        if spec.network.mode == "managed" and native.subnet_id:
            reader.problem("is set", "nothing, as infrastructure_network.mode is managed", "subnet_id")
        reader.end()
        return native
