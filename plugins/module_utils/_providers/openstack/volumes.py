# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data disks, which outlive their machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..base import Handler
from ..errors import ProviderError, TransientError
from ..model import Change, Found, Kind, Resource
from ..ownership import Ownership
from ..patience import Patience
from .api import Api

Json = Mapping[str, Any]
# One disk is asked about until it is where it should be. A list of all may lag behind, and lead to a second one.
MOVING = Patience(limit=300, first=0.2, longest=2)
GONE = frozenset({"deleting"})


class Volume(Handler):
    """A data disk. It stays when its machine goes, and is attached to the one that takes its place."""

    kind = Kind(
        "volume",
        needs=("machine",),
        mutable=frozenset({"size_gib", "attached_to"}),
        loose=frozenset({"attached_to"}),
        growing=frozenset({"size_gib"}),
        keeps_data=True,
        replaceable=False,
    )

    def __init__(self, api: Api, ownership: Ownership) -> None:
        self.api = api
        self.ownership = ownership

    def observe(self) -> Iterator[Found]:
        filter = json.dumps({self.ownership.uid_tag: self.ownership.uid})
        for item in self.api.pages("volume", "/volumes/detail", "volumes", metadata=filter, limit=500):
            if self.ownership.owns(item["metadata"]) and item["status"] not in GONE:
                yield self._found(item)

    def _found(self, item: Json) -> Found:
        metadata = item["metadata"]
        properties = {
            "size_gib": item["size"],
            "type": item["volume_type"],
            "encrypted": item["encrypted"],
            "failure_domain": item["availability_zone"],
            "attached_to": next((one["server_id"] for one in item["attachments"]), None),
        }
        stamp = self.ownership.stamp(metadata)
        name = self.ownership.name(metadata)
        return Found("volume", name, item["id"], properties, stamp, created=item.get("created_at") or "")

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        volume = {
            "name": f"{self.ownership.infra_id}-{wanted.name}",
            "size": own["size_gib"],
            "volume_type": own["type"],
            "metadata": self.ownership.tags(wanted.name),
            "availability_zone": own["failure_domain"],
        }
        made = self._found(self.api.call("volume", "POST", "/volumes", {"volume": volume}, about=wanted.key)["volume"])
        return self._finish(made, wanted)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._finish(found, wanted)

    def _finish(self, found: Found, wanted: Resource) -> Found:
        """Large enough, and attached where it is to be; then note that it is finished."""
        MOVING(lambda attempts: self._go_on(found, wanted))
        metadata = {self.ownership.stamp_tag: wanted.stamp}
        self.api.call("volume", "POST", f"/volumes/{found.id}/metadata", {"metadata": metadata}, about=found.key)
        return replace(found, properties=wanted.properties, stamp=wanted.stamp)

    def _go_on(self, found: Found, wanted: Resource) -> None:
        """Do what comes next, and raise TransientError until nothing does: services answer before they are done."""
        machine, size, now = wanted.properties["attached_to"], wanted.properties["size_gib"], self._get(found)
        where = self._found(now).properties["attached_to"]
        if not where and not found.stamp:
            self._check_encryption(found, wanted, now)
        if now["size"] < size:
            self._extend(found, now, size)
        elif where and where != machine:
            if now["status"] == "in-use":
                self._detach(found, where)
            raise TransientError(f"{found.key}: it is being detached")
        elif machine and not where:
            self._attach(found, now, machine)

    def _extend(self, found: Found, now: Json, size: int) -> None:
        if now["status"] not in ("available", "in-use"):
            self._wait(found, now)
        body = {"os-extend": {"new_size": size}}
        self.api.call("volume", "POST", f"/volumes/{found.id}/action", body, about=found.key)
        raise TransientError(f"{found.key}: it is being extended")

    def _attach(self, found: Found, now: Json, machine: str) -> None:
        if now["status"] != "available":
            self._wait(found, now)
        body = {"volumeAttachment": {"volumeId": found.id}}
        self.api.call("compute", "POST", f"/servers/{machine}/os-volume_attachments", body, about=found.key)
        raise TransientError(f"{found.key}: it is being attached")

    def _check_encryption(self, found: Found, wanted: Resource, now: Json) -> None:
        """Only an administrator sees what a volume type does. A disk shows it, before there is anything on it."""
        if now["status"] != "available":
            self._wait(found, now)
        encrypted, type = wanted.properties["encrypted"], wanted.properties["type"]
        if now["encrypted"] != encrypted:
            self.delete(found)
            does = "does not encrypt" if encrypted else "encrypts"
            raise ProviderError(f"{wanted.key}: the volume type {type} {does}, see infrastructure_settings")

    def _get(self, found: Found) -> dict[str, Any]:
        item: dict[str, Any] = self.api.call("volume", "GET", f"/volumes/{found.id}", about=found.key)["volume"]
        return item

    @staticmethod
    def _wait(found: Found, item: Json) -> None:
        if item["status"].startswith("error"):
            raise ProviderError(f"{found.key}: Cinder says {item['status']}: it has to be looked at, or deleted")
        raise TransientError(f"{found.key}: it is {item['status']}")

    def _detach(self, found: Found, machine: str) -> None:
        path = f"/servers/{machine}/os-volume_attachments/{found.id}"
        self.api.call("compute", "DELETE", path, about=found.key, gone=True)

    def delete(self, found: Found) -> None:
        item = self.api.call("volume", "GET", f"/volumes/{found.id}", about=found.key, gone=True)
        if not item or item["volume"]["status"] in GONE:
            return
        now = item["volume"]
        if now["status"] == "in-use" and now["attachments"]:
            self._detach(found, now["attachments"][0]["server_id"])
        if now["status"] not in ("available", "error", "error_extending", "error_restoring"):
            raise TransientError(f"{found.key}: it is {now['status']}")
        self.api.call("volume", "DELETE", f"/volumes/{found.id}", about=found.key, gone=True)
