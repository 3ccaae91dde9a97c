# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cloud offers: every cloud has flavors, images, zones and networks of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .api import Api

Json = Mapping[str, Any]
Item = TypeVar("Item")
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class Offer:
    """Each list is asked for once, when it is needed. For all threads."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._lock = threading.RLock()
        self._kept: dict[str, Any] = {}

    def _once(self, name: str, ask: Callable[[], Item]) -> Item:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = ask()
            kept: Item = self._kept[name]
            return kept

    def flavors(self) -> list[dict[str, Any]]:
        """The smallest first."""

        def ask() -> list[dict[str, Any]]:
            found = self.api.pages("compute", "/flavors/detail", "flavors", limit=500)
            return sorted(found, key=lambda one: (one["vcpus"], one["ram"], one["disk"], one["name"]))

        return self._once("flavors", ask)

    def flavor(self, wanted: Json) -> dict[str, Any] | None:
        """The one of that name, or the smallest one with at least that much of {cpu, memory_gib}."""
        for one in self.flavors():
            if wanted.get("name"):
                if wanted["name"] in (one["name"], one["id"]):
                    return one
            elif one["vcpus"] >= wanted["cpu"] and one["ram"] >= wanted["memory_gib"] * 1024:
                return one
        return None

    def image(self, wanted: Json) -> dict[str, Any] | None:
        """The newest active one of that {name}, which may be an id, or of that {os, version, architecture}."""
        if wanted.get("name"):
            query = {"name": wanted["name"]}
        else:
            query = {"os_distro": wanted["os"], "os_version": wanted["version"]}

        def ask() -> dict[str, Any] | None:
            found = list(self.api.pages("image", "/images", "images", status="active", sort="created_at:desc", **query))
            if not found and wanted.get("name"):
                one = self.api.call("image", "GET", f"/images/{wanted['name']}", gone=True)
                return one if one and one.get("status") == "active" else None
            machine = ARCHITECTURES.get(wanted.get("architecture", ""), "")
            # Images that do not say are for what most machines are.
            fitting = [one for one in found if not machine or one.get("architecture", "x86_64") == machine]
            return fitting[0] if fitting else None

        return self._once(f"image {sorted(wanted.items())}", ask)

    def image_names(self) -> list[str]:
        return sorted(
            {one["name"] for one in self.api.pages("image", "/images", "images", status="active") if one["name"]}
        )

    def zones(self) -> tuple[str, ...]:
        """Nova's availability zones."""

        def ask() -> tuple[str, ...]:
            answer = self.api.call("compute", "GET", "/os-availability-zone")
            found = (one["zoneName"] for one in answer["availabilityZoneInfo"] if one["zoneState"]["available"])
            return tuple(sorted(found))

        return self._once("zones", ask)

    def volume_zone(self, zone: str) -> str:
        """Cinder's zone for disks of machines in one of Nova's: the one called alike, or else the first."""

        def ask() -> list[str]:
            answer = self.api.call("volume", "GET", "/os-availability-zone")
            return sorted(one["zoneName"] for one in answer["availabilityZoneInfo"] if one["zoneState"]["available"])

        zones = self._once("volume zones", ask)
        return zone if zone in zones or not zones else zones[0]

    def volume_types(self) -> list[str]:
        return self._once(
            "types", lambda: sorted(one["name"] for one in self.api.pages("volume", "/types", "volume_types"))
        )

    def external_networks(self) -> dict[str, str]:
        """Networks outside: their ids by their names."""

        def ask() -> dict[str, str]:
            found = self.api.pages("network", "/networks", "networks", **{"router:external": True})
            return {one["name"] or one["id"]: one["id"] for one in found}

        return self._once("external networks", ask)
