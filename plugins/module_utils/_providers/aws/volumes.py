# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data disks, which outlive their machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..model import Change, Found, Kind, Properties, Resource
from .ec2 import Ec2Handler

# Our names of storage by EC2's.
TYPES = {"standard": "gp3", "fast": "io2"}
# What EC2 recommends for data; the names are only a number of the disk, machines see others.
DEVICES = tuple(f"/dev/sd{letter}" for letter in "fghijklmnop")
KEY = "caravan.cluster/key"


class Volume(Ec2Handler):
    """A data disk. It stays when its machine goes, and is attached to the one that takes its place."""

    kind = Kind(
        "volume",
        needs=("machine", "key"),
        mutable=frozenset({"size_gib", "type", "attached_to"}),
        create_only=frozenset({"device"}),
        loose=frozenset({"attached_to"}),
        growing=frozenset({"size_gib"}),
        keeps_data=True,
        replaceable=False,
    )
    TYPE, LIST, ID = "volume", ("describe_volumes", "Volumes"), "VolumeId"

    def exists(self, item: Mapping[str, Any]) -> bool:
        return item["State"] not in ("deleting", "deleted")

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        attached = [
            one["InstanceId"] for one in item.get("Attachments") or () if one["State"] in ("attaching", "attached")
        ]
        return {
            "size_gib": item["Size"],
            "type": item["VolumeType"],
            "failure_domain": item["AvailabilityZone"],
            "encrypted": item["Encrypted"],
            "key": item.get("KmsKeyId") if tags.get(KEY) else None,
            "attached_to": next(iter(attached), None),
        }

    def created(self, item: Mapping[str, Any]) -> str:
        return str(item["CreateTime"].isoformat())

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        key = {"KmsKeyId": own["key"]} if own["key"] else {}
        more = {KEY: "own"} if own["key"] else {}
        answer = self.ec2(
            "create_volume",
            wanted,
            AvailabilityZone=own["failure_domain"],
            Size=own["size_gib"],
            VolumeType=own["type"],
            Encrypted=own["encrypted"],
            ClientToken=token,
            TagSpecifications=self.tagged(wanted, **more),
            **key,
        )
        self._attach(wanted, answer["VolumeId"])
        return self.finish(wanted, answer["VolumeId"])

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        changed = {change.field for change in changes}
        own = wanted.properties
        modified = {"Size": own["size_gib"]} if "size_gib" in changed else {}
        modified |= {"VolumeType": own["type"]} if "type" in changed else {}
        if modified and self._differs(found, own):
            self.ec2("modify_volume", wanted, VolumeId=found.id, **modified)
        if "attached_to" in changed and found.properties["attached_to"] != own["attached_to"]:
            self._detach(found)
            self._attach(wanted, found.id)
        return self.finish(wanted, found.id)

    @staticmethod
    def _differs(found: Found, own: Properties) -> bool:
        return any(found.properties[name] != own[name] for name in ("size_gib", "type"))

    def _attach(self, wanted: Resource, id: str) -> None:
        own = wanted.properties
        machine = own["attached_to"]
        if machine:
            self.ec2("attach_volume", wanted, VolumeId=id, InstanceId=machine, Device=own["device"])

    def _detach(self, found: Found) -> None:
        machine = found.properties["attached_to"]
        if machine:
            self.ec2("detach_volume", found, gone=True, VolumeId=found.id, InstanceId=machine)

    def delete(self, found: Found) -> None:
        self._detach(found)
        self.ec2("delete_volume", found, gone=True, VolumeId=found.id)
