# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys for the encryption of disks: a vault, a key in it, and the set by which disks use the key."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .arm import ArmHandler, Json, lower, own
from .roles import ENCRYPTION, GRANTS, assignment


class Vault(ArmHandler):
    """closed: roles decide who may use keys, and what is deleted can be brought back for 90 days."""

    kind = Kind("vault", needs=("group",), mutable=frozenset({"closed"}), keeps_data=True, replaceable=False)
    OPERATIONS, TYPE = "keyvault.vaults", "Microsoft.KeyVault/vaults"
    LIST, DELETE = "list_by_resource_group", "delete"

    def at_provider(self, name: str) -> str:
        return self.place.short_name(name)

    def properties(self, item: Json) -> Properties:
        found = own(item)
        return {"closed": bool(found.get("enableRbacAuthorization") and found.get("enablePurgeProtection"))}

    def details(self, item: Json) -> Properties:
        return {"uri": own(item).get("vaultUri", "")}

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        return {
            "properties": {
                "tenantId": self.api.settings.tenant_id,
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": True,
                "enableSoftDelete": True,
                # Disks want it: with it, nobody can do away with a key for good before the 90 days are over.
                "enablePurgeProtection": True,
                **({"createMode": "recover"} if own.get("deleted") else {}),
            }
        }

    def create(self, wanted: Resource, token: str) -> Found:
        name = self.at_provider(wanted.name)
        # One of that name that was deleted still holds it, and its keys: it comes back.
        deleted = self.deleted() == f"{self.place.group_id}/providers/microsoft.keyvault/vaults/{name}"
        own = {**wanted.properties, "deleted": deleted}
        made = self.put(wanted, name, own, {}, self.tags(wanted))
        if deleted:
            self.stamp(wanted, made.id, **self.ownership.tags(wanted.name))
        return made

    def deleted(self, name: str = "main") -> str:
        """The id of the vault of this name that was deleted and can be brought back; empty where there is none."""
        operation = "keyvault.vaults.get_deleted"
        found = self.api.call(operation, self.at_provider(name), self.place.location, gone=True)
        return lower(own(found or {}).get("vaultId", ""))

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        patch = {"properties": {"enableRbacAuthorization": True, "enablePurgeProtection": True}}
        self.call("update", found.key, found.id.rsplit("/", 1)[1], patch)
        self.stamp(wanted, found.id)
        return replace(found, properties={**found.properties, "closed": True}, stamp=wanted.stamp)


class Key(ArmHandler):
    """An encryption set, called a key as disks refer to it. The key itself is made in the vault and stays there.

    granted: the set may use the key. That belongs to it, as no disk can be read without.
    """

    kind = Kind(
        "key",
        needs=("vault",),
        mutable=frozenset({"rotation", "granted"}),
        keeps_data=True,
        replaceable=False,
    )
    OPERATIONS, TYPE = "compute.disk_encryption_sets", "Microsoft.Compute/diskEncryptionSets"
    LIST = "list_by_resource_group"
    ASSIGNMENTS = "authorization.role_assignments"

    def properties(self, item: Json) -> Properties:
        found = own(item)
        vault = lower(((found.get("activeKey") or {}).get("sourceVault") or {}).get("id", ""))
        rotation = bool(found.get("rotationToLatestKeyVersionEnabled"))
        return {"vault": vault, "rotation": rotation, "granted": self._is_granted(vault, principal(item))}

    def details(self, item: Json) -> Properties:
        return {"principal_id": principal(item)}

    def _is_granted(self, vault: str, holder: str) -> bool:
        assigned = self.api.pages(
            f"{self.ASSIGNMENTS}.list_for_scope", vault.lstrip("/"), filter=f"principalId eq '{holder}'"
        )
        return any(own(one)["roleDefinitionId"].endswith(ENCRYPTION) for one in assigned)

    def create(self, wanted: Resource, token: str) -> Found:
        vault = wanted.properties["vault"]
        made = self.api.call(
            "keyvault.keys.create_if_not_exist",
            self.place.group,
            vault.rsplit("/", 1)[1],
            wanted.name,
            {"properties": {"kty": "RSA", "keySize": 3072}},
            about=wanted.key,
        )
        properties = {**wanted.properties, "url": own(made)["keyUriWithVersion"]}
        tags = self.tags(wanted, stamp=False)
        return self._finish(self.put(wanted, self.at_provider(wanted.name), properties, {}, tags), wanted)

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        return {
            "identity": {"type": "SystemAssigned"},
            "properties": {
                "activeKey": {"sourceVault": {"id": own["vault"]}, "keyUrl": own["url"]},
                "encryptionType": "EncryptionAtRestWithCustomerKey",
                "rotationToLatestKeyVersionEnabled": own["rotation"],
            },
        }

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        changed = {change.field: wanted.properties[change.field] for change in changes}
        if "rotation" in changed:
            patch = {"properties": {"rotationToLatestKeyVersionEnabled": changed["rotation"]}}
            self.call("begin_update", found.key, found.id.rsplit("/", 1)[1], patch)
        return self._finish(replace(found, properties={**found.properties, **changed}), wanted)

    def _finish(self, found: Found, wanted: Resource) -> Found:
        holder, vault = found.details["principal_id"], found.properties["vault"]
        if not self._is_granted(vault, holder):
            body = assignment(self.api.settings.subscription_id, ENCRYPTION, holder)
            name = str(uuid.uuid5(GRANTS, f"{vault} {holder}"))
            self.api.call(f"{self.ASSIGNMENTS}.create", vault.lstrip("/"), name, body, about=wanted.key)
        self.stamp(wanted, found.id)
        return replace(found, properties={**found.properties, "granted": True}, stamp=wanted.stamp)

    def delete(self, found: Found) -> None:
        # The permission goes first: nothing would lead to it without the set.
        holder, vault = found.details["principal_id"], found.properties["vault"]
        id = f"{vault.lstrip('/')}/providers/Microsoft.Authorization/roleAssignments/"
        id += str(uuid.uuid5(GRANTS, f"{vault} {holder}"))
        self.api.call(f"{self.ASSIGNMENTS}.delete_by_id", id, about=found.key, gone=True)
        super().delete(found)


def principal(item: Json) -> str:
    return str((item.get("identity") or {}).get("principalId") or "")
