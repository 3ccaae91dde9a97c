# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all handlers of EC2's resources have in common: tags, and the calls that set them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..base import Handler
from ..model import Found, Properties, Resource
from ..ownership import Ownership
from .api import Api, owned, tag_list, tag_specification, tags_of


class AwsHandler(Handler):
    def __init__(self, api: Api, ownership: Ownership) -> None:
        self.api = api
        self.ownership = ownership

    def at_provider(self, name: str, limit: int = 255) -> str:
        """The name that the resource goes by at AWS."""
        return f"{self.ownership.infra_id}-{name}"[-limit:].lstrip("-")


class Ec2Handler(AwsHandler):
    """TYPE: EC2's word in tag specifications; LIST: operation and its answer's field; ID: the field of the id."""

    TYPE = ""
    LIST = ("", "")
    ID = ""

    def observe(self) -> Iterator[Found]:
        operation, items = self.LIST
        for item in self.api.pages("ec2", operation, items, Filters=owned(self.ownership)):
            tags = tags_of(item)
            if self.ownership.owns(tags) and self.exists(item):
                yield self.found(item, tags)

    def exists(self, item: Mapping[str, Any]) -> bool:
        """Whether it is more than a memory of what was deleted."""
        return True

    def found(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        return Found(
            self.kind.name,
            self.ownership.name(tags),
            item[self.ID],
            self.properties(item, tags),
            self.ownership.stamp(tags),
            details=self.details(item, tags),
            created=self.created(item),
        )

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        raise NotImplementedError

    def details(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        return {}

    def created(self, item: Mapping[str, Any]) -> str:
        return ""

    def tagged(self, wanted: Resource, stamp: str = "", **more: str) -> list[dict[str, Any]]:
        """The tag specification of a call that makes it. With a stamp where that call finishes it, too."""
        tags = {"Name": self.at_provider(wanted.name), **self.ownership.tags(wanted.name, stamp), **more}
        return [tag_specification(self.TYPE, tags)]

    def ec2(self, operation: str, wanted: Resource | Found, gone: bool = False, **parameters: Any) -> Any:
        return self.api.call("ec2", operation, about=wanted.key, gone=gone, **parameters)

    def finish(self, wanted: Resource, id: str, **details: Any) -> Found:
        """Write the stamp, as the last call that the resource takes."""
        tags = tag_list({self.ownership.stamp_tag: wanted.stamp})
        self.ec2("create_tags", wanted, Resources=[id], Tags=tags)
        return self.made(wanted, id, **details)

    def made(self, wanted: Resource, id: str, **details: Any) -> Found:
        return Found(wanted.kind, wanted.name, id, wanted.properties, wanted.stamp, details=details)
