# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys for the encryption of disks: a vault, a key in it, and the set by which disks use the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .arm import ArmHandler, Json, lower, own


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
                "tenantId": own["tenant_id"],
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
        deleted = self.api.call("keyvault.vaults.get_deleted", name, self.place.location, about=wanted.key, gone=True)
        own = {**wanted.properties, "tenant_id": self._tenant(), "deleted": deleted}
        made = self.put(wanted, name, own, {}, self.tags(wanted))
        if deleted:
            self.stamp(wanted, made.id, **self.ownership.tags(wanted.name))
        return made

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        patch = {"properties": {"enableRbacAuthorization": True, "enablePurgeProtection": True}}
        self.call("update", found.key, found.id.rsplit("/", 1)[1], patch)
        self.stamp(wanted, found.id)
        return Found(found.kind, found.name, found.id, {**found.properties, "closed": True}, wanted.stamp, found.details)

    def _tenant(self) -> str:
        """The directory that the subscription trusts: that of its resource group's identities and roles."""
        return str(self.api.tenant_id())


class Key(ArmHandler):
    """An encryption set, called a key as disks refer to it. The key itself is made in the vault and stays there."""

    kind = Kind(
        "key",
        needs=("vault",),
        mutable=frozenset({"rotation"}),
        keeps_data=True,
        replaceable=False,
    )
    OPERATIONS, TYPE = "compute.disk_encryption_sets", "Microsoft.Compute/diskEncryptionSets"
    LIST = "list_by_resource_group"

    def properties(self, item: Json) -> Properties:
        found = own(item)
        vault = ((found.get("activeKey") or {}).get("sourceVault") or {}).get("id", "")
        return {"vault": lower(vault), "rotation": bool(found.get("rotationToLatestKeyVersionEnabled"))}

    def details(self, item: Json) -> Properties:
        return {
            "principal_id": (item.get("identity") or {}).get("principalId"),
            "url": (own(item).get("activeKey") or {}).get("keyUrl", ""),
        }

    def create(self, wanted: Resource, token: str) -> Found:
        vault = wanted.properties["vault"]
        parameters = {"properties": {"kty": "RSA", "keySize": 3072}}
        made = self.api.call(
            "keyvault.keys.create_if_not_exist",
            self.place.group,
            vault.rsplit("/", 1)[1],
            wanted.name,
            parameters,
            about=wanted.key,
        )
        properties = {**wanted.properties, "url": own(made)["keyUriWithVersion"]}
        return self.put(wanted, self.at_provider(wanted.name), properties, {}, self.tags(wanted))

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
        patch = {"properties": {"rotationToLatestKeyVersionEnabled": wanted.properties["rotation"]}}
        self.call("begin_update", found.key, found.id.rsplit("/", 1)[1], patch)
        self.stamp(wanted, found.id)
        properties = {**found.properties, "rotation": wanted.properties["rotation"]}
        return Found(found.kind, found.name, found.id, properties, wanted.stamp, found.details)
