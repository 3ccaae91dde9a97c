# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all handlers of Neutron's resources have in common: whose a resource is, its name, and the calls that make it.

Neutron takes tags in a call of their own, but on the newest clouds. A description is taken by the call that makes the
resource, and changed by the one that changes it: that is where ownership and stamp are. Lists are those of the project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..base import Handler
from ..model import Found, Properties, Resource
from ..ownership import Ownership
from .api import Api

Json = Mapping[str, Any]
WORD = re.compile(r"(\w+)=(\S+)")


class NeutronHandler(Handler):
    """NOUN, PATH: the API's word for one of them, and for the list."""

    NOUN = ""
    PATH = ""

    def __init__(self, api: Api, ownership: Ownership) -> None:
        self.api = api
        self.ownership = ownership

    @property
    def items(self) -> str:
        return self.PATH.replace("-", "_")

    def at_provider(self, name: str) -> str:
        return f"{self.ownership.infra_id}-{name}"

    # -- whose it is -------------------------------------------------------------------------------------------

    def description(self, name: str, stamp: str = "") -> str:
        words = {"cluster": self.ownership.infra_id, "uid": self.ownership.uid, "resource": name}
        words |= {"stamp": stamp} if stamp else {}
        return " ".join(f"{key}={value}" for key, value in words.items())

    def tags(self, item: Json) -> dict[str, str]:
        """The description as the tags that it stands for."""
        own, words = self.ownership, dict(WORD.findall(item.get("description") or ""))
        found = {own.uid_tag: words.get("uid", ""), own.stamp_tag: words.get("stamp", "")}
        found |= {own.cluster_tag: "owned"} if words.get("cluster") == own.infra_id else {}
        return {**found, **({own.resource_tag: words["resource"]} if words.get("resource") else {})}

    # -- from and to the API -----------------------------------------------------------------------------------

    def list(self, path: str = "", **query: Any) -> Iterator[dict[str, Any]]:
        path = path or self.PATH
        return self.api.pages(
            "network", f"/{path}", path.replace("-", "_"), project_id=self.api.project(), limit=500, **query
        )

    def observe(self) -> Iterator[Found]:
        for item in self.list():
            if self.ownership.owns(self.tags(item)):
                yield self.found(item)

    def found(self, item: Json) -> Found:
        tags = self.tags(item)
        return Found(
            self.kind.name,
            self.ownership.name(tags),
            item["id"],
            self.properties(item),
            self.ownership.stamp(tags),
            details=self.details(item),
            created=item.get("created_at") or "",
        )

    def properties(self, item: Json) -> Properties:
        raise NotImplementedError

    def details(self, item: Json) -> Properties:
        return {}

    def post(self, wanted: Resource, body: Json, stamp: str = "") -> dict[str, Any]:
        """With `stamp` where nothing else has to be done."""
        own = {"name": self.at_provider(wanted.name), "description": self.description(wanted.name, stamp)}
        return self._sent("POST", f"/{self.PATH}", wanted, {**own, **body})

    def put(self, wanted: Resource, id: str, body: Json) -> dict[str, Any]:
        """Change it, and write the stamp with the same call."""
        own = {"description": self.description(wanted.name, wanted.stamp)}
        return self._sent("PUT", f"/{self.PATH}/{id}", wanted, {**own, **body})

    def _sent(self, method: str, path: str, wanted: Resource, body: Json) -> dict[str, Any]:
        answer = self.api.call("network", method, path, {self.NOUN: body}, about=wanted.key)
        found: dict[str, Any] = answer[self.NOUN]
        return found

    def delete(self, found: Found) -> None:
        self.api.call("network", "DELETE", f"/{self.PATH}/{found.id}", about=found.key, gone=True)


class PlainHandler(NeutronHandler):
    """What one call makes, and one call changes: `body` says how."""

    def body(self, own: Properties, new: bool) -> dict[str, Any]:
        """What to send of wanted properties: all of them where it is new, else those that can be changed."""
        raise NotImplementedError

    def create(self, wanted: Resource, token: str) -> Found:
        return self.found(self.post(wanted, self.body(wanted.properties, True), wanted.stamp))

    def update(self, found: Found, wanted: Resource, changes: Any) -> Found:
        own = {**found.properties, **{change.field: wanted.properties[change.field] for change in changes}}
        return self.found(self.put(wanted, found.id, self.body(own, False)))
