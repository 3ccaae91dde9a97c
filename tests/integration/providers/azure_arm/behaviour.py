# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each type of resource does beyond being kept: what it computes, needs, refuses and takes along.

Written after Azure's documented behaviour; what no test needs is left out.
"""

from __future__ import annotations

import ipaddress
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from .catalogue import TYPES, Region, Type

Resources = dict[str, dict[str, Any]]
REFERENCE = re.compile(r'"(/subscriptions/[^"]+)"')
# Namespaces for ids that stay the same for the same resource.
SPACE = uuid.UUID("5a0a7e3c-4a1c-4d28-9f0e-2b54f7f0b9c1")


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def stable(*parts: str) -> str:
    return str(uuid.uuid5(SPACE, "/".join(parts).lower()))


def references(body: Any) -> set[str]:
    """Every id of a resource in a body, in small letters."""
    return {found.lower() for found in REFERENCE.findall(json.dumps(body))}


def identities(resource: Mapping[str, Any]) -> Iterator[str]:
    """Ids that stand as names in `identity`, where a body refers to identities."""
    for name in (resource.get("identity") or {}).get("userAssignedIdentities") or {}:
        yield name.lower()


def at(resource: Mapping[str, Any], path: str) -> Any:
    value: Any = resource
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


class Behaviour:
    def __init__(self, resources: Resources, region: Region, principals: set[str]) -> None:
        self.resources = resources
        self.region = region
        self.principals = principals  # those that role assignments may name already
        self._addresses = 3
        self.first_boots: dict[str, str] = {}  # machines' customData, by key: only the machines see them
        self.deleted_vaults: dict[str, Resources] = {}  # by name: what comes back with it

    # -- before a PUT ----------------------------------------------------------------------------------------

    def check(self, key: str, type: str, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        known = TYPES[type]
        self._location(body, type)
        self._fixed(known, body, old)
        self.check_tags(known, body.get("tags") or {})
        for reference in sorted(references(body) | set(identities(body))):
            if not self.known(reference, key):
                raise Refused(400, "InvalidResourceReference", f"{reference} referenced by {key} was not found")
        special = getattr(self, "_check_" + type.rpartition("/")[2], None)
        if special:
            special(key, body, old)

    @staticmethod
    def check_tags(known: Type, tags: Mapping[str, str]) -> None:
        if len(tags) > known.tags:
            raise Refused(400, "InvalidTags", f"at most {known.tags} tags")
        for name in tags:
            if set(name) & set("<>%&\\?/"):
                raise Refused(400, "InvalidTagNameCharacters", f"the tag name {name!r} has reserved characters")

    def known(self, reference: str, key: str) -> bool:
        """Whether a body of `key` may refer to it: it exists, or is a part of the resource itself."""
        outside = "/providers/microsoft.authorization/roledefinitions/" in reference
        return outside or reference in self.resources or reference == key or reference.startswith(f"{key}/")

    def _location(self, body: Mapping[str, Any], type: str) -> None:
        places = {name.replace(" ", "").lower() for name in self.region.locations} | {"global"}
        if "location" in body and body["location"].replace(" ", "").lower() not in places:
            raise Refused(400, "LocationNotAvailableForResourceType", f"{body['location']} is not available for {type}")

    @staticmethod
    def _fixed(known: Type, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        for path in known.fixed if old else ():
            new, before = at(body, path), at(old or {}, path)
            if new is not None and before is not None and not _within(new, before):
                raise Refused(409, "PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.")

    def _check_virtualmachines(self, key: str, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        if old:
            return
        own = body["properties"]
        wanted = own["hardwareProfile"]["vmSize"]
        size = next((one for one in self.region.sizes if one.name == wanted), None)
        if size is None:
            raise Refused(400, "InvalidParameter", f"The value {wanted} provided for the VM size is not valid.")
        for zone in body.get("zones") or ():
            if zone not in size.zones:
                raise Refused(409, "SkuNotAvailable", f"The requested size {wanted} is not available in zone {zone}.")
        if self.used(size.family) + size.cpu > self.region.limit(size.family):
            raise Refused(409, "OperationNotAllowed", f"exceeding approved {size.family} Cores quota")
        image = own["storageProfile"]["imageReference"]
        if "id" not in image and (image["publisher"], image["offer"], image["sku"]) not in self.region.images:
            raise Refused(404, "PlatformImageNotFound", f"The platform image {image} is not available.")
        if not own["osProfile"].get("linuxConfiguration", {}).get("ssh", {}).get("publicKeys"):
            raise Refused(400, "InvalidParameter", "linuxConfiguration.ssh.publicKeys is needed without a password")
        for nic in own["networkProfile"]["networkInterfaces"]:
            holder = at(self.resources[nic["id"].lower()], "properties.virtualMachine")
            if holder:
                raise Refused(409, "NicInUse", f"{nic['id']} is used by {holder['id']}")

    def used(self, family: str) -> int:
        sizes = {size.name: size for size in self.region.sizes}
        running = [one for key, one in self.resources.items() if one["type"].lower().endswith("/virtualmachines")]
        names = [one["properties"]["hardwareProfile"]["vmSize"] for one in running]
        return sum(sizes[name].cpu for name in names if name in sizes and sizes[name].family == family)

    def _check_disks(self, key: str, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        own, before = body.get("properties") or {}, (old or {}).get("properties") or {}
        if own.get("diskSizeGB", before.get("diskSizeGB", 0)) < before.get("diskSizeGB", 0):
            raise Refused(400, "OperationNotAllowed", "Disk size cannot be reduced.")
        used = at(own, "encryption.diskEncryptionSetId")
        if used and used != at(before, "encryption.diskEncryptionSetId"):
            self.may_encrypt(used)

    def may_encrypt(self, id: str) -> None:
        """An encryption set's own identity needs a role at the vault."""
        principal = at(self.resources[id.lower()], "identity.principalId")
        assigned = [one for one in self.resources.values() if at(one, "properties.principalId") == principal]
        if not any(one["type"].lower().endswith("roleassignments") for one in assigned):
            raise Refused(400, "KeyVaultAccessForbidden", f"{id} may not use its key")

    def _check_networkinterfaces(self, key: str, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        # Two interfaces cannot hold one public address.
        wanted = {one for one in references(body) if "/publicipaddresses/" in one}
        for other, one in self.resources.items():
            if other != key and one["type"].lower().endswith("networkinterfaces") and wanted & references(one):
                raise Refused(400, "PublicIPAddressInUse", f"the public address is used by {other}")

    def _check_roleassignments(self, key: str, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        own = body["properties"]
        if own["principalId"] not in self.principals:
            raise Refused(400, "PrincipalNotFound", f"Principal {own['principalId']} does not exist in the directory")
        scope = key.split("/providers/microsoft.authorization/")[0]
        for other, one in self.resources.items():
            same = other != key and other.startswith(f"{scope}/providers/microsoft.authorization/")
            if same and all(at(one, f"properties.{name}") == own[name] for name in ("roleDefinitionId", "principalId")):
                raise Refused(409, "RoleAssignmentExists", "The role assignment already exists.")

    def _check_storageaccounts(self, key: str, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        name = key.rsplit("/", 1)[1]
        if not re.fullmatch("[a-z0-9]{3,24}", name):
            raise Refused(400, "AccountNameInvalid", f"{name} is not a valid storage account name")
        if not old and any(other.endswith(f"/storageaccounts/{name}") for other in self.resources):
            raise Refused(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")

    def _check_vaults(self, key: str, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        name = key.rsplit("/", 1)[1]
        if not re.fullmatch("[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]", name):
            raise Refused(400, "VaultNameNotValid", f"{name} is not a valid vault name")
        if not old and any(other.endswith(f"/vaults/{name}") for other in self.resources):
            raise Refused(409, "VaultAlreadyExists", f"The vault name {name} is already in use.")
        if not old and name in self.deleted_vaults and at(body, "properties.createMode") != "recover":
            raise Refused(409, "ConflictError", f"A vault with the name {name} exists in a deleted state.")
        if at(body, "properties.createMode") == "recover" and key not in self.deleted_vaults.get(name, {}):
            raise Refused(404, "VaultNotFound", f"There is no deleted vault {key}.")

    # -- after a PUT -----------------------------------------------------------------------------------------

    def complete(self, resource: dict[str, Any]) -> None:
        """What Azure computes: states, addresses, ids of parts, principals."""
        key, type = resource["id"].lower(), resource["type"].lower()
        own = resource.setdefault("properties", {})
        own["provisioningState"] = "Succeeded"
        resource["etag"] = f'W/"{uuid.uuid4()}"'
        for part in TYPES[type].parts:
            self._parts(resource, part)
        special = getattr(self, "_complete_" + type.rpartition("/")[2], None)
        if special:
            special(key, resource, own)

    def _parts(self, resource: dict[str, Any], part: str) -> None:
        prefix = f"{resource['id']}/{part}"
        named = {f"{prefix}/{item['name']}".lower() for item in resource["properties"].get(part) or ()}
        for key in [key for key in self.resources if key.startswith(f"{prefix.lower()}/") and key not in named]:
            self.unused(key, TYPES[resource["type"].lower()].in_use)
            del self.resources[key]
        for item in resource["properties"].get(part) or ():
            item["id"] = f"{prefix}/{item['name']}"
            item["type"] = f"{resource['type']}/{part}"
            item.setdefault("properties", {})["provisioningState"] = "Succeeded"
            item["etag"] = resource["etag"]
            self.resources[item["id"].lower()] = item

    def next_address(self, prefix: str) -> str:
        self._addresses += 1
        return f"{prefix}.{self._addresses // 250}.{self._addresses % 250 + 4}"

    def inside(self, subnet: str) -> str:
        """The lowest free address of a subnet. The first four and the last are Azure's own."""
        prefix = ipaddress.ip_network(self.resources[subnet.lower()]["properties"]["addressPrefix"])
        taken = {
            at(part, "properties.privateIPAddress")
            for resource in self.resources.values()
            for name in ("ipConfigurations", "frontendIPConfigurations")
            for part in (resource.get("properties") or {}).get(name) or ()
        }
        offered = (str(prefix[number]) for number in range(4, prefix.num_addresses - 1))
        free = next((address for address in offered if address not in taken), None)
        if free is None:
            raise Refused(400, "SubnetIsFull", f"{subnet} has no address left")
        return free

    def _complete_subnets(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        network = self.resources[key.rsplit("/", 2)[0]]
        others = [one for one in network["properties"]["subnets"] if one["name"] != resource["name"]]
        network["properties"]["subnets"] = [*others, resource]
        network["etag"] = resource["etag"]

    def _complete_publicipaddresses(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        own.setdefault("ipAddress", self.next_address("20.1"))

    def _complete_networkinterfaces(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        for part in own["ipConfigurations"]:
            part["properties"].setdefault("privateIPAddress", self.inside(part["properties"]["subnet"]["id"]))
            part["properties"].setdefault("primary", True)

    def _complete_loadbalancers(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        for part in own["frontendIPConfigurations"]:
            if "subnet" in part["properties"]:
                part["properties"].setdefault("privateIPAddress", self.inside(part["properties"]["subnet"]["id"]))

    def _complete_virtualmachines(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        own.setdefault("vmId", stable(key))
        first_boot = own.get("osProfile", {}).pop("customData", None)  # written, never read
        if first_boot:
            self.first_boots[key] = first_boot
        states = [{"code": "ProvisioningState/succeeded"}, {"code": "PowerState/running"}]
        own.setdefault("instanceView", {"statuses": states})
        for nic in own["networkProfile"]["networkInterfaces"]:
            self.resources[nic["id"].lower()]["properties"]["virtualMachine"] = {"id": resource["id"]}
        self.principal(key, resource)

    def _complete_disks(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        own["diskState"] = "Attached" if resource.get("managedBy") else "Unattached"
        own.setdefault("encryption", {"type": "EncryptionAtRestWithPlatformKey"})

    def _complete_diskencryptionsets(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        self.principal(key, resource)

    def _complete_userassignedidentities(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        own |= {
            "principalId": stable(key, "principal"),
            "clientId": stable(key, "client"),
            "tenantId": stable("tenant"),
        }
        self.principals.add(own["principalId"])

    def principal(self, key: str, resource: dict[str, Any]) -> None:
        identity = resource.get("identity") or {}
        if identity.get("type") == "SystemAssigned":
            identity |= {"principalId": stable(key, "principal"), "tenantId": stable("tenant")}
            self.principals.add(identity["principalId"])

    def _complete_storageaccounts(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        own["primaryEndpoints"] = {"blob": f"https://{resource['name']}.blob.core.windows.net/"}
        service = f"{resource['id']}/blobServices/default"
        self.resources.setdefault(
            service.lower(),
            {
                "id": service,
                "name": "default",
                "type": "Microsoft.Storage/storageAccounts/blobServices",
                "properties": {},
            },
        )

    def _complete_vaults(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        if own.pop("createMode", "") == "recover":
            before = self.deleted_vaults.pop(resource["name"])
            resource["tags"] = before[key].get("tags") or {}  # what the request says of tags is not taken
            self.resources.update({inner: one for inner, one in before.items() if inner != key})
        own["vaultUri"] = f"https://{resource['name']}.vault.azure.net/"

    def _complete_keys(self, key: str, resource: dict[str, Any], own: dict[str, Any]) -> None:
        uri = f"https://{key.split('/')[-3]}.vault.azure.net/keys/{resource['name']}"
        own |= {"keyUri": uri, "keyUriWithVersion": f"{uri}/{stable(key).replace('-', '')}"}

    # -- DELETE and POST -------------------------------------------------------------------------------------

    def unused(self, key: str, code: str) -> None:
        """Refuse where anything outside of it refers to it or to a part of it."""
        for other, resource in self.resources.items():
            if other == key or other.startswith(f"{key}/") or key.startswith(f"{other}/"):
                continue
            whole = json.dumps(resource).lower()
            if ("microsoft.authorization/" not in other and f'"{key}"' in whole) or f'"{key}/' in whole:
                raise Refused(400, code, f"{key} is in use by {other}")

    def remove(self, key: str, type: str) -> None:
        if type == "microsoft.compute/virtualmachines":
            self._let_go(key)
        elif type == "microsoft.compute/disks" and self.resources[key].get("managedBy"):
            raise Refused(409, "OperationNotAllowed", f"Disk is attached to {self.resources[key]['managedBy']}")
        elif type != "microsoft.resources/resourcegroups":
            self.unused(key, TYPES[type].in_use)
        inside = {one: self.resources.pop(one) for one in list(self.resources) if f"{one}/".startswith(f"{key}/")}
        if type == "microsoft.keyvault/vaults":
            keys = {one: kept for one, kept in inside.items() if "/microsoft.authorization/" not in one}
            self.deleted_vaults[key.rsplit("/", 1)[1]] = keys
        parent = self.resources.get(key.rsplit("/", 2)[0], {})
        for part in TYPES[parent["type"].lower()].parts if parent.get("type", "").lower() in TYPES else ():
            items = parent["properties"].get(part) or []
            parent["properties"][part] = [item for item in items if item["id"].lower() != key]

    def _let_go(self, machine: str) -> None:
        for resource in self.resources.values():
            if (at(resource, "properties.virtualMachine.id") or "").lower() == machine:
                del resource["properties"]["virtualMachine"]
            if (resource.get("managedBy") or "").lower() == machine:
                del resource["managedBy"]
                resource["properties"]["diskState"] = "Unattached"

    def attach_detach(self, machine: dict[str, Any], body: Mapping[str, Any]) -> None:
        profile = machine["properties"]["storageProfile"]
        disks = profile.setdefault("dataDisks", [])
        for item in body.get("dataDisksToDetach") or ():
            profile["dataDisks"] = disks = [
                one for one in disks if one["managedDisk"]["id"].lower() != item["diskId"].lower()
            ]
            self.resources[item["diskId"].lower()].pop("managedBy", None)
            self.resources[item["diskId"].lower()]["properties"]["diskState"] = "Unattached"
        for item in body.get("dataDisksToAttach") or ():
            disk = self.resources.get(item["diskId"].lower())
            if disk is None:
                raise Refused(404, "NotFound", f"{item['diskId']} was not found")
            if disk.get("managedBy"):
                raise Refused(409, "OperationNotAllowed", f"{item['diskId']} is attached to {disk['managedBy']}")
            if disk.get("zones") != machine.get("zones"):
                raise Refused(400, "BadRequest", "the disk and the machine are in different zones")
            if item.get("lun") in [one["lun"] for one in disks]:
                raise Refused(409, "InvalidParameter", f"LUN {item['lun']} is taken")
            disk["managedBy"] = machine["id"]
            disk["properties"]["diskState"] = "Attached"
            disks.append({"lun": item.get("lun", len(disks)), "managedDisk": {"id": disk["id"]}})


def _within(new: Any, before: Any) -> bool:
    """Whether all that `new` says is so already: what Azure computed beside it does not count."""
    if isinstance(new, Mapping) and isinstance(before, Mapping):
        # Secrets and first-boot data are never given back: they cannot be compared.
        return all(
            name in ("customData", "adminPassword") or _within(item, before.get(name)) for name, item in new.items()
        )
    if isinstance(new, str) and isinstance(before, str):
        return new.replace(" ", "").lower() == before.replace(" ", "").lower()
    return bool(new == before)
