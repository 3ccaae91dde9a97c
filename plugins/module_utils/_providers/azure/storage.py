# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets: a container in a storage account of its own, as versions and locks are settings of the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .arm import ArmHandler, Json, own


class Bucket(ArmHandler):
    """lock_days: how long no version can be deleted or overwritten; lockable cannot be changed later.

    container: it is there. closed: TLS only, no anonymous reading, and no account keys: who wants in has an identity.
    """

    kind = Kind(
        "bucket",
        needs=("group",),
        mutable=frozenset({"versioning", "lock_days", "closed", "container"}),
        create_only=frozenset({"redundancy"}),
        keeps_data=True,
        replaceable=False,
    )
    OPERATIONS, TYPE = "storage.storage_accounts", "Microsoft.Storage/storageAccounts"
    LIST, GET, PUT, DELETE = "list_by_resource_group", "get_properties", "begin_create", "delete"

    def at_provider(self, name: str) -> str:
        return self.place.short_name(name)

    def properties(self, item: Json) -> Properties:
        found, name = own(item), item["name"]
        lock = found.get("immutableStorageWithVersioning") or {}
        policy = lock.get("immutabilityPolicy") or {}
        service = self.api.call("storage.blob_services.get_service_properties", self.place.group, name, gone=True)
        return {
            "versioning": bool(own(service or {}).get("isVersioningEnabled")),
            "lockable": bool(lock.get("enabled")),
            "lock_days": policy.get("immutabilityPeriodSinceCreationInDays", 0),
            "container": self._container(item["name"], self.ownership.name(item["tags"])),
            "closed": all(found.get(field) == value for field, value in CLOSED.items()),
        }

    def _container(self, account: str, name: str) -> bool:
        group = self.place.group
        return self.api.call("storage.blob_containers.get", group, account, name, gone=True) is not None

    def details(self, item: Json) -> Properties:
        endpoint = (own(item).get("primaryEndpoints") or {}).get("blob", "")
        return {"account": item["name"], "endpoint": endpoint.rstrip("/")}

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        return {
            "sku": {"name": own["redundancy"]},
            "kind": "StorageV2",
            "properties": {**CLOSED, "accessTier": "Hot", **(_lock(own) if own["lockable"] else {})},
        }

    def create(self, wanted: Resource, token: str) -> Found:
        tags = self.tags(wanted, stamp=False)
        made = self.put(wanted, self.at_provider(wanted.name), wanted.properties, {}, tags)
        return self._finish(made, wanted, wanted.properties)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        changed = {change.field: wanted.properties[change.field] for change in changes}
        patch: dict[str, Any] = dict(CLOSED) if "closed" in changed else {}
        if "lock_days" in changed and found.properties["lockable"]:
            patch |= _lock({**found.properties, **changed})
        if patch:
            self.call("update", found.key, found.id.rsplit("/", 1)[1], {"properties": patch})
        return self._finish(found, wanted, {**found.properties, **changed})

    def _finish(self, found: Found, wanted: Resource, own: Mapping[str, Any]) -> Found:
        account, group = found.id.rsplit("/", 1)[1], self.place.group
        service = {"properties": {"isVersioningEnabled": own["versioning"]}}
        self.api.call("storage.blob_services.set_service_properties", group, account, service, about=wanted.key)
        container = {"properties": {"publicAccess": "None"}}
        self.api.call("storage.blob_containers.create", group, account, wanted.name, container, about=wanted.key)
        self.stamp(wanted, found.id)
        return replace(found, properties={**found.properties, **own}, stamp=wanted.stamp)


CLOSED = {
    "minimumTlsVersion": "TLS1_2",
    "supportsHttpsTrafficOnly": True,
    "allowBlobPublicAccess": False,
    "allowSharedKeyAccess": False,
}


def _lock(own: Properties) -> dict[str, Any]:
    # Unlocked is a policy that whoever may change the account may shorten; a locked one, nobody ever could.
    policy = {"immutabilityPeriodSinceCreationInDays": own["lock_days"], "state": "Unlocked"}
    return {"immutableStorageWithVersioning": {"enabled": True, "immutabilityPolicy": policy}}
