# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge that machines are on, and the volumes that keep their data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..._podman import nodes
from ..base import Handler
from ..errors import ProviderError
from ..model import Change, Found, Kind, Resource
from .api import Api


class Network(Handler):
    kind = Kind("network", replaceable=False)

    def __init__(self, api: Api) -> None:
        self.api = api

    def observe(self) -> Iterator[Found]:
        for entry in self.api.own("network", "ls"):
            tags, subnets = entry["tags"], entry.get("subnets") or [{}]
            properties = {"cidr": subnets[0].get("subnet", ""), "internal": bool(entry.get("internal"))}
            stamp = self.api.ownership.stamp(tags)
            yield Found("network", self.api.ownership.name(tags), entry["name"], properties, stamp)

    def create(self, wanted: Resource, token: str) -> Found:
        name, own = self.api.name(wanted.name), wanted.properties
        labels = self.api.labels(wanted.name, wanted.stamp)
        self.api.run(*nodes.bridge_arguments(name, own["cidr"], own["internal"], labels), about=wanted.key)
        return Found("network", wanted.name, name, own, wanted.stamp)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        raise ProviderError(f"{wanted.key} cannot be changed")

    def delete(self, found: Found) -> None:
        self.api.run("network", "rm", found.id, about=found.key, gone=True)


class Volume(Handler):
    """A disk of a machine, which outlives it. podman has no sizes: all share the controller's disk."""

    kind = Kind("volume", keeps_data=True, replaceable=False)

    def __init__(self, api: Api) -> None:
        self.api = api

    def observe(self) -> Iterator[Found]:
        for entry in self.api.own("volume", "ls"):
            tags = entry["tags"]
            name, stamp = self.api.ownership.name(tags), self.api.ownership.stamp(tags)
            yield Found("volume", name, entry["Name"], {"driver": entry["Driver"]}, stamp)

    def create(self, wanted: Resource, token: str) -> Found:
        name = self.api.name(wanted.name)
        self.api.run("volume", "create", *self.api.labels(wanted.name, wanted.stamp), name, about=wanted.key)
        return Found("volume", wanted.name, name, wanted.properties, wanted.stamp)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        raise ProviderError(f"{wanted.key} cannot be changed")

    def delete(self, found: Found) -> None:
        self.api.run("volume", "rm", found.id, about=found.key, gone=True)
