# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoint's name in Azure DNS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import ProviderError
from ..model import Change, Found, Kind, Resource
from ..spec import Spec
from .arm import ArmHandler, Json, Place, group_of, lower, own

TTL = 30


class Zone:
    """The zone of the description, which exists before the cluster does, in any resource group of the subscription."""

    def __init__(self, place: Place, spec: Spec) -> None:
        self.api = place.api
        self.spec = spec

    def id(self) -> str:
        """Empty where there is none, or where the records are somebody else's work."""
        zone = self.found() if self.spec.dns.manage else None
        return lower(zone["id"]) if zone else ""

    def found(self) -> Mapping[str, Any] | None:
        for item in self.api.pages("dns.zones.list"):
            if item["name"].lower() == self.spec.dns.zone and own(item).get("zoneType", "Public") == "Public":
                zone: Mapping[str, Any] = item
                return zone
        return None


class Record(ArmHandler):
    """Records have no tags, and metadata in their place."""

    kind = Kind("record", needs=("address", "balancer", "group"), mutable=frozenset({"values"}))
    OPERATIONS = "dns.record_sets"

    def __init__(self, place: Place, zone: Zone) -> None:
        super().__init__(place)
        self.zone = zone
        self.relative = zone.spec.endpoint.host[: -len(zone.spec.dns.zone) - 1]

    def observe(self) -> Iterator[Found]:
        zone = self.zone.id()
        item = self.record(zone) if zone else None
        tags = own(item or {}).get("metadata") or {}
        if item and self.ownership.owns(tags):
            yield self._found(item, tags)

    def record(self, zone: str) -> Any:
        return self._call("get", zone, gone=True)

    def _call(self, operation: str, zone: str, *arguments: Any, **options: Any) -> Any:
        group, name = group_of(zone).rsplit("/", 1)[1], zone.split("/")[8]
        name_and_type = (self.relative, "A")
        return self.api.call(f"{self.OPERATIONS}.{operation}", group, name, *name_and_type, *arguments, **options)

    def _found(self, item: Json, tags: Mapping[str, str]) -> Found:
        values = sorted(one["ipv4Address"] for one in own(item).get("ARecords") or ())
        name, stamp = self.ownership.name(tags), self.ownership.stamp(tags)
        return Found("record", name, lower(item["id"]), {"values": values}, stamp)

    def _put(self, wanted: Resource, zone: str, **match: str) -> Found:
        tags = self.tags(wanted)
        values = [{"ipv4Address": value} for value in wanted.properties["values"]]
        body = {"properties": {"TTL": TTL, "metadata": tags, "ARecords": values}}
        return self._found(self._call("create_or_update", zone, body, about=wanted.key, **match), tags)

    def create(self, wanted: Resource, token: str) -> Found:
        zone = self.zone.id()
        if not zone:
            raise ProviderError(f"{wanted.key}: there is no public zone {self.zone.spec.dns.zone}")
        # A name that somebody else has taken meanwhile is theirs.
        return self._put(wanted, zone, if_none_match="*")

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._put(wanted, found.id)

    def delete(self, found: Found) -> None:
        self._call("delete", found.id, about=found.key, gone=True)
