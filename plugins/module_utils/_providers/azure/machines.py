# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines, and the disks that outlive them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .arm import ArmHandler, Json, lower, own, reference

# What Azure has no field for is kept in tags. Their names hold no slashes.
POOL, ROLES, IMAGE, ROOT_DISK = (f"caravan.cluster.{name}" for name in ("pool", "roles", "image", "root-disk"))
# Our names of storage by Azure's.
STORAGE = {"standard": "StandardSSD_LRS", "fast": "Premium_LRS"}
# The images' own user; cloud-init makes the one of `access.user` beside it.
ADMIN = "azureuser"


class Machine(ArmHandler):
    """root_disk: `<GiB> <storage> <name of its key, or platform>`; image: its portable name."""

    kind = Kind(
        "machine",
        needs=("interface", "identity", "key"),
        mutable=frozenset({"identity", "running", "roles", "pool"}),
        create_only=frozenset({"user_data", "image_reference", "authorized_keys", "disk_key"}),
    )
    OPERATIONS = "compute.virtual_machines"

    def items(self) -> Iterator[Any]:
        return self.api.pages(f"{self.OPERATIONS}.list", self.place.group, expand="instanceView")

    def observe(self) -> Iterator[Found]:
        """With the addresses of their interfaces, which Azure keeps apart: two lists more, whatever their number."""
        machines = list(super().observe())
        addresses = self._addresses() if machines else {}
        for one in machines:
            found = [*addresses.get(str(one.properties["interface"]), ()), *one.details["addresses"]]
            yield replace(one, details={**one.details, "addresses": found})

    def _addresses(self) -> dict[str, list[dict[str, str]]]:
        """By interface."""
        group = self.place.group
        public = {
            lower(item["id"]): own(item).get("ipAddress")
            for item in self.api.pages("network.public_ip_addresses.list", group)
        }
        found: dict[str, list[dict[str, str]]] = {}
        for item in self.api.pages("network.network_interfaces.list", group):
            inside, outside = [], []
            for part in own(item).get("ipConfigurations") or ():
                inside.append(own(part).get("privateIPAddress"))
                outside.append(public.get(reference(own(part).get("publicIPAddress")) or ""))
            found[lower(item["id"])] = [
                {"type": type, "value": value}
                for type, values in (("InternalIP", inside), ("ExternalIP", outside))
                for value in values
                if value
            ]
        return found

    def properties(self, item: Json) -> Properties:
        tags, found = item.get("tags") or {}, own(item)
        identities = (item.get("identity") or {}).get("userAssignedIdentities") or {}
        interfaces = found["networkProfile"]["networkInterfaces"]
        return {
            "pool": tags.get(POOL, ""),
            "roles": sorted(tags.get(ROLES, "").split()),
            "image": tags.get(IMAGE, ""),
            "root_disk": tags.get(ROOT_DISK, ""),
            "failure_domain": next(iter(item.get("zones") or ()), ""),
            "size": found["hardwareProfile"]["vmSize"],
            "preemptible": found.get("priority") == "Spot",
            "interface": next((lower(one["id"]) for one in interfaces), None),
            "identity": next((lower(id) for id in identities), None),
            "running": power(item) in ("running", "starting", "creating"),
        }

    def details(self, item: Json) -> Properties:
        place = self.place
        name = item["id"].rsplit("/", 1)[1]
        return {
            # As the cloud controller writes it: the names in their own case, the group's in small letters.
            "provider_id": f"azure:///subscriptions/{place.api.settings.subscription_id}/resourceGroups/"
            f"{place.group.lower()}/providers/Microsoft.Compute/virtualMachines/{name}",
            "state": power(item),
            # The cloud controller wants nodes to be called as Azure calls the machines.
            "addresses": [{"type": "Hostname", "value": name}],
        }

    def extra_tags(self, own: Properties) -> dict[str, str]:
        return {
            POOL: own["pool"],
            ROLES: " ".join(own["roles"]),
            IMAGE: own["image"],
            ROOT_DISK: own["root_disk"],
        }

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        size, storage, _key = own["root_disk"].split(" ")
        disk: dict[str, Any] = {"storageAccountType": STORAGE[storage]}
        if own["disk_key"]:
            disk["diskEncryptionSet"] = {"id": own["disk_key"]}
        keys = [{"path": f"/home/{ADMIN}/.ssh/authorized_keys", "keyData": key} for key in own["authorized_keys"]]
        zone = {"zones": [own["failure_domain"]]} if own["failure_domain"] else {}
        # With Detach, the interface and the data disks stay: they are resources of the cluster of their own.
        interface = {"id": own["interface"], "properties": {"primary": True, "deleteOption": "Detach"}}
        spot = {"priority": "Spot", "evictionPolicy": "Deallocate"} if own["preemptible"] else {}
        return {
            **zone,
            **identity_of(own),
            "properties": {
                "hardwareProfile": {"vmSize": own["size"]},
                "storageProfile": {
                    "imageReference": own["image_reference"],
                    "osDisk": {
                        "createOption": "FromImage",
                        "diskSizeGB": int(size),
                        "managedDisk": disk,
                        "deleteOption": "Delete",
                    },
                },
                "osProfile": {
                    "computerName": own["computer_name"],
                    "adminUsername": ADMIN,
                    "customData": base64.b64encode(own["user_data"].encode()).decode(),
                    "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
                },
                "networkProfile": {"networkInterfaces": [interface]},
                # What it writes on its console is kept, where its host keys are read.
                "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
                **spot,
            },
        }

    def create(self, wanted: Resource, token: str) -> Found:
        own = {**wanted.properties, "computer_name": wanted.name}
        # Ids hold nothing but names: with a part of the token, a machine that takes another one's place has its own.
        name = f"{self.at_provider(wanted.name)}-{token[:5]}"
        made = self.put(wanted, name, own, {}, self.tags(wanted))
        return replace(made, properties={**made.properties, "running": True})

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        name, own = found.id.rsplit("/", 1)[1], wanted.properties
        changed = {change.field for change in changes}
        if "identity" in changed:
            # One that is taken away is named with nothing.
            body = identity_of(own) or {"identity": {"type": "None"}}
            self.call("begin_update", found.key, name, body)
        if "running" in changed:
            self.call("begin_start", found.key, name)
        kept = {**found.properties, **{field: own[field] for field in changed}}
        self.stamp(wanted, found.id, **self.extra_tags(kept))
        return replace(found, properties=kept, stamp=wanted.stamp)


class Volume(ArmHandler):
    """A data disk. It stays when its machine goes, and is attached to the one that takes its place."""

    kind = Kind(
        "volume",
        needs=("machine", "key"),
        mutable=frozenset({"size_gib", "storage", "attached_to"}),
        create_only=frozenset({"lun"}),
        loose=frozenset({"attached_to"}),
        growing=frozenset({"size_gib"}),
        keeps_data=True,
        replaceable=False,
    )
    OPERATIONS, TYPE = "compute.disks", "Microsoft.Compute/disks"
    LIST = "list_by_resource_group"

    def properties(self, item: Json) -> Properties:
        found = own(item)
        names = {sku: storage for storage, sku in STORAGE.items()}
        sku = (item.get("sku") or {}).get("name", "")
        return {
            "size_gib": found.get("diskSizeGB"),
            "storage": names.get(sku, sku),
            "failure_domain": next(iter(item.get("zones") or ()), ""),
            "key": _lower_or_none((found.get("encryption") or {}).get("diskEncryptionSetId")),
            "attached_to": _lower_or_none(item.get("managedBy")),
        }

    def body(self, own: Properties, live: Json) -> dict[str, Any]:
        zone = {"zones": [own["failure_domain"]]} if own["failure_domain"] else {}
        key = {"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": own["key"]}
        return {
            **zone,
            "sku": {"name": STORAGE[own["storage"]]},
            "properties": {
                "creationData": {"createOption": "Empty"},
                "diskSizeGB": own["size_gib"],
                # Nobody downloads a data disk by a link.
                "networkAccessPolicy": "DenyAll",
                "publicNetworkAccess": "Disabled",
                **({"encryption": key} if own["key"] else {}),
            },
        }

    def create(self, wanted: Resource, token: str) -> Found:
        tags = self.tags(wanted, stamp=False)
        made = self.put(wanted, self.at_provider(wanted.name), wanted.properties, {}, tags)
        return self._finish(made, wanted, wanted.properties)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        name = found.id.rsplit("/", 1)[1]
        changed = {change.field: wanted.properties[change.field] for change in changes}
        patch: dict[str, Any] = {}
        if "size_gib" in changed:
            patch["properties"] = {"diskSizeGB": changed["size_gib"]}
        if "storage" in changed:
            patch["sku"] = {"name": STORAGE[changed["storage"]]}
        if patch:
            self.call("begin_update", found.key, name, patch)
        own = {**found.properties, **changed}
        if "attached_to" in changed:
            # Where it is now, and not where it was when this run began: an attempt before may have moved it.
            now = self.found(self.call(self.GET, found.key, name)).properties["attached_to"]
            if now and now != changed["attached_to"]:
                self._move(found.key, now, {"dataDisksToDetach": [{"diskId": found.id}]})
            found = replace(found, properties={**own, "attached_to": now})
        return self._finish(found, wanted, {**own, "lun": wanted.properties["lun"]})

    def _finish(self, found: Found, wanted: Resource, own: Mapping[str, Any]) -> Found:
        machine, now = own["attached_to"], found.properties["attached_to"]
        if machine and now != machine:
            disk = {"diskId": found.id, "lun": own["lun"], "deleteOption": "Detach"}
            self._move(found.key, machine, {"dataDisksToAttach": [disk]})
        self.stamp(wanted, found.id)
        return replace(found, properties={**found.properties, **own}, stamp=wanted.stamp)

    def _move(self, about: str, machine: str, body: Json) -> None:
        operation = "compute.virtual_machines.begin_attach_detach_data_disks"
        self.api.call(operation, self.place.group, machine.rsplit("/", 1)[1], body, about=about)

    def delete(self, found: Found) -> None:
        now = self.call(self.GET, found.key, found.id.rsplit("/", 1)[1], gone=True)
        if now and now.get("managedBy"):
            self._move(found.key, now["managedBy"], {"dataDisksToDetach": [{"diskId": found.id}]})
        super().delete(found)


def identity_of(own: Properties) -> dict[str, Any]:
    if not own["identity"]:
        return {}
    return {"identity": {"type": "UserAssigned", "userAssignedIdentities": {own["identity"]: {}}}}


def power(item: Json) -> str:
    """`running`, `deallocated`, `creating`, ...; empty where the answer does not tell."""
    if own(item).get("provisioningState") == "Creating":
        return "creating"
    statuses = (own(item).get("instanceView") or {}).get("statuses") or ()
    codes = [status["code"] for status in statuses if status.get("code", "").startswith("PowerState/")]
    return codes[0].split("/")[1] if codes else ""


def _lower_or_none(id: str | None) -> str | None:
    return lower(id) if id else None
