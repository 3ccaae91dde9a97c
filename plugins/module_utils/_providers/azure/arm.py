# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all handlers have in common: resources of Azure Resource Manager with tags, in one resource group."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..base import Handler
from ..model import Change, Found, Properties, Resource
from ..ownership import Ownership
from .api import Api

Json = Mapping[str, Any]


class Place:
    """Where the cluster's resources are, and how they are called there."""

    def __init__(self, api: Api, ownership: Ownership) -> None:
        self.api = api
        self.ownership = ownership
        self.location = api.settings.location
        self.group = api.settings.group(ownership.infra_id)
        self.group_id = api.settings.group_id(ownership.infra_id)

    def name(self, name: str) -> str:
        return f"{self.ownership.infra_id}-{name}"

    def short_name(self, name: str, limit: int = 24) -> str:
        """For what has a name in the whole world: small letters and digits, a letter first."""
        digest = hashlib.sha256(f"{self.ownership.uid}/{name}".encode()).hexdigest()[:8]
        letters = "".join(letter for letter in f"c{self.ownership.infra_id}{name}" if letter.isalnum())
        return letters[: limit - len(digest)] + digest


class ArmHandler(Handler):
    """A resource that one PUT makes and changes.

    OPERATIONS: `<client>.<group>` of the SDK. TYPE: Azure's name of the type, to tell whose a name is.
    """

    OPERATIONS = ""
    TYPE = ""
    LIST, GET, PUT, DELETE = "list", "get", "begin_create_or_update", "begin_delete"

    def __init__(self, place: Place) -> None:
        self.place = place
        self.api = place.api
        self.ownership = place.ownership

    # -- what each kind says of itself -------------------------------------------------------------------

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        """The body of a PUT, but for tags and location. `live`: what is there, whose other parts are others' own."""
        raise NotImplementedError

    def properties(self, item: Json) -> Properties:
        """As they are, without `group`."""
        raise NotImplementedError

    def details(self, item: Json) -> Properties:
        return {}

    def at_provider(self, name: str) -> str:
        return self.place.name(name)

    def extra_tags(self, own: Properties) -> dict[str, str]:
        """Tags that hold what Azure has no field for."""
        return {}

    # -- Handler -----------------------------------------------------------------------------------------

    def observe(self) -> Iterator[Found]:
        for item in self.items():
            tags = item.get("tags") or {}
            if self.ownership.owns(tags) and not going(item):
                yield self.found(item)

    def items(self) -> Iterator[Any]:
        return self.api.pages(f"{self.OPERATIONS}.{self.LIST}", self.place.group)

    def found(self, item: Json) -> Found:
        tags = item.get("tags") or {}
        own = {"group": group_of(item["id"]), **self.properties(item)}
        # What Azure could not make is there all the same. Without a stamp, this run finishes it.
        name, stamp = self.ownership.name(tags), "" if failed(item) else self.ownership.stamp(tags)
        return Found(self.kind.name, name, lower(item["id"]), own, stamp, details=self.details(item))

    def create(self, wanted: Resource, token: str) -> Found:
        return self.put(wanted, self.at_provider(wanted.name), wanted.properties, {}, self.tags(wanted))

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        name = found.id.rsplit("/", 1)[1]
        live = self.call(self.GET, found.key, name)
        changed = {change.field: wanted.properties[change.field] for change in changes}
        own = {**wanted.properties, **found.properties, **changed}
        return self.put(wanted, name, own, live, {**(live.get("tags") or {}), **self.tags(wanted, own)})

    def delete(self, found: Found) -> None:
        self.call(self.DELETE, found.key, found.id.rsplit("/", 1)[1], gone=True)

    # -- parts of it -------------------------------------------------------------------------------------

    def tags(self, wanted: Resource, own: Properties | None = None, stamp: bool = True) -> dict[str, str]:
        """All tags; without the stamp where more calls have to follow."""
        tags = self.ownership.tags(wanted.name, wanted.stamp if stamp else "")
        return {**tags, **self.extra_tags(wanted.properties if own is None else own)}

    def call(self, operation: str, about: str, *arguments: Any, **options: Any) -> Any:
        """One call about a resource of the group."""
        return self.api.call(f"{self.OPERATIONS}.{operation}", self.place.group, *arguments, about=about, **options)

    def put(self, wanted: Resource, name: str, own: Properties, live: Json, tags: Mapping[str, str]) -> Found:
        body = {"location": self.place.location, "tags": dict(tags), **self.body(own, live)}
        # Who has changed it since it was read is not overwritten.
        options = {"headers": {"If-Match": live["etag"]}} if live.get("etag") else {}
        item = self.call(self.PUT, wanted.key, name, body, **options)
        return self.found(item)

    def stamp(self, wanted: Resource, id: str, **more: str) -> None:
        """Write the stamp, as the last call that a resource takes. Other tags stay."""
        tags = {self.ownership.stamp_tag: wanted.stamp, **more}
        body = {"operation": "Merge", "properties": {"tags": tags}}
        self.api.call("resource.tags.begin_update_at_scope", id.lstrip("/"), body, about=wanted.key)


def lower(id: str) -> str:
    """Ids are written in any case, and differently by Azure's own services."""
    return id.lower()


def group_of(id: str) -> str:
    return "/".join(id.lower().split("/")[:5])


def reference(item: Json | None) -> str | None:
    """The id of what a part of a resource refers to."""
    return lower(item["id"]) if item and item.get("id") else None


def own(item: Json) -> Json:
    """Azure keeps nearly all in one part of a resource."""
    found: Json = item.get("properties") or {}
    return found


def failed(item: Json) -> bool:
    return own(item).get("provisioningState") == "Failed"


def going(item: Json) -> bool:
    return own(item).get("provisioningState") == "Deleting"
