# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who machines are, and what they may do."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ProviderError
from ..model import Found, Kind, Properties, Resource
from .arm import ArmHandler, Json, Place, lower, own
from .dns import Zone
from .roles import GRANTS, assignment


class Identity(ArmHandler):
    """A managed identity that machines have. Its permissions are grants."""

    kind = Kind("identity", needs=("group",))
    OPERATIONS, TYPE = "msi.user_assigned_identities", "Microsoft.ManagedIdentity/userAssignedIdentities"
    LIST, PUT, DELETE = "list_by_resource_group", "create_or_update", "delete"

    def properties(self, item: Json) -> Properties:
        return {}

    def details(self, item: Json) -> Properties:
        return {"principal_id": own(item).get("principalId"), "client_id": own(item).get("clientId")}

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        return {}


class Grant(ArmHandler):
    """One role for one identity on one resource. It cannot be changed, and has a description in place of tags."""

    kind = Kind("grant", needs=("identity", "vault", "bucket", "group"))
    OPERATIONS = "authorization.role_assignments"

    def observe(self) -> Iterator[Found]:
        for item in self.items():
            tags = self._told(item)
            if self.ownership.owns(tags):
                yield self._found(item, tags)

    def __init__(self, place: Place, zone: Zone) -> None:
        super().__init__(place)
        self.zone = zone

    def items(self) -> Iterator[Any]:
        """Those of the group and of all that is in it, and of the zone, which may be in another one.

        Those above the group are in the list, too, and not ours.
        """
        seen = set()
        for item in (*self._listed("list_for_resource_group", self.place.group), *self._of_zone()):
            if lower(item["id"]) not in seen:
                seen.add(lower(item["id"]))
                yield item

    def _of_zone(self) -> Iterator[Any]:
        scope = self.zone.id()
        return self._listed("list_for_scope", scope.lstrip("/")) if scope else iter(())

    def _listed(self, operation: str, where: str) -> Iterator[Any]:
        return self.api.pages(f"{self.OPERATIONS}.{operation}", where)

    @staticmethod
    def _told(item: Json) -> Mapping[str, str]:
        try:
            told = json.loads(own(item).get("description") or "{}")
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}

    def _found(self, item: Json, tags: Mapping[str, str]) -> Found:
        found = own(item)
        properties = {
            "scope": lower(found.get("scope") or item["id"].split("/providers/Microsoft.Authorization/")[0]),
            "role": found["roleDefinitionId"].rsplit("/", 1)[1],
            "principal": found["principalId"],
        }
        return Found("grant", self.ownership.name(tags), lower(item["id"]), properties, self.ownership.stamp(tags))

    def create(self, wanted: Resource, token: str) -> Found:
        properties = wanted.properties
        scope = properties["scope"].lstrip("/")
        told = json.dumps(self.ownership.tags(wanted.name, wanted.stamp), sort_keys=True)
        role, principal = properties["role"], properties["principal"]
        body = assignment(self.api.settings.subscription_id, role, principal, description=told)
        # The name is the grant's own: one that was made and not answered is found, not doubled.
        name = str(uuid.uuid5(GRANTS, f"{self.ownership.uid} {wanted.name} {scope} {principal}"))
        try:
            item = self.api.call(f"{self.OPERATIONS}.create", scope, name, body, about=wanted.key)
        except ProviderError as error:
            if "RoleAssignmentExists" not in str(error):
                raise
            raise ProviderError(f"{error}. It is not this cluster's: delete it, or leave the grant to it") from error
        return self._found(item, self._told(item))

    def delete(self, found: Found) -> None:
        self.api.call(f"{self.OPERATIONS}.delete_by_id", found.id.lstrip("/"), about=found.key, gone=True)
