# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ProviderError, TransientError
from ..model import Change, Found, Kind, Properties, Resource
from .api import Api, tag_list, tag_specification
from .ec2 import Ec2Handler

# What EC2 has no field for is kept in tags. Their values hold letters, digits and a few signs only.
POOL, ROLES, IMAGE, ROOT_DISK = (f"caravan.cluster/{name}" for name in ("pool", "roles", "image", "root-disk"))


class Machine(Ec2Handler):
    """root_disk: `<GiB> <type> <id of its key, or encrypted, or plain>`; image: its portable name."""

    kind = Kind(
        "machine",
        needs=("subnet", "security_group", "identity", "key", "route_table"),
        mutable=frozenset({"security_groups", "identity", "running", "pool", "roles"}),
        create_only=frozenset({"user_data", "image_id", "disk_key"}),
        unordered=frozenset({"security_groups"}),
    )
    TYPE, LIST, ID = "instance", ("describe_instances", "Reservations"), "InstanceId"

    def observe(self) -> Any:
        # EC2 groups instances by the call that made them.
        return (found for reservation in self._reservations() for found in reservation)

    def _reservations(self) -> Any:
        from .api import owned, tags_of

        for reservation in self.api.pages("ec2", "describe_instances", "Reservations", Filters=owned(self.ownership)):
            yield [
                self.found(item, tags_of(item))
                for item in reservation["Instances"]
                if self.ownership.owns(tags_of(item)) and item["State"]["Name"] not in ("shutting-down", "terminated")
            ]

    def properties(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        profile = item.get("IamInstanceProfile", {}).get("Arn", "")
        return {
            "pool": tags.get(POOL, ""),
            "roles": sorted(tags.get(ROLES, "").split()),
            "image": tags.get(IMAGE, ""),
            "root_disk": tags.get(ROOT_DISK, ""),
            "failure_domain": item["Placement"]["AvailabilityZone"],
            "size": item["InstanceType"],
            "preemptible": item.get("InstanceLifecycle") == "spot",
            "subnet": item.get("SubnetId"),
            "security_groups": sorted(group["GroupId"] for group in item.get("SecurityGroups") or ()),
            "identity": profile.rpartition("/")[2] or None,
            "running": item["State"]["Name"] in ("pending", "running"),
        }

    def details(self, item: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
        addresses = [
            {"type": type, "value": item[field]}
            for type, field in (
                ("InternalIP", "PrivateIpAddress"),
                ("ExternalIP", "PublicIpAddress"),
                ("InternalDNS", "PrivateDnsName"),
            )
            if item.get(field)
        ]
        zone = item["Placement"]["AvailabilityZone"]
        return {
            "provider_id": f"aws:///{zone}/{item['InstanceId']}",
            "addresses": addresses,
            "state": item["State"]["Name"],
        }

    def created(self, item: Mapping[str, Any]) -> str:
        return str(item["LaunchTime"].isoformat())

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        size, type, _key = own["root_disk"].split(" ")
        disk = {"VolumeSize": int(size), "VolumeType": type, "DeleteOnTermination": True}
        disk |= {} if own["root_disk"].endswith("plain") else {"Encrypted": True}
        disk |= {"KmsKeyId": own["disk_key"]} if own["disk_key"] else {}
        image = self._image(wanted)
        kept = {
            POOL: own["pool"],
            ROLES: " ".join(own["roles"]),
            IMAGE: own["image"],
            ROOT_DISK: own["root_disk"],
        }
        # The root disk has the two tags of ownership, for whoever looks at it, and no name: it goes with the machine.
        tags = [
            *self.tagged(wanted, wanted.stamp, **kept),
            tag_specification("volume", self.ownership.identifying()),
        ]
        more: dict[str, Any] = {}
        if own["identity"]:
            more["IamInstanceProfile"] = {"Name": own["identity"]}
        if own["preemptible"]:
            more["InstanceMarketOptions"] = {"MarketType": "spot"}
        answer = self._run(
            wanted,
            ImageId=image["ImageId"],
            InstanceType=own["size"],
            MinCount=1,
            MaxCount=1,
            ClientToken=token,
            SubnetId=own["subnet"],
            SecurityGroupIds=own["security_groups"],
            UserData=own["user_data"],
            BlockDeviceMappings=[{"DeviceName": image.get("RootDeviceName") or "/dev/xvda", "Ebs": disk}],
            # With one hop, pods do not reach the credentials of the machine that they run on.
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
            TagSpecifications=tags,
            **more,
        )
        return self.made(wanted, answer["Instances"][0]["InstanceId"], state="pending")

    def _run(self, wanted: Resource, **parameters: Any) -> Any:
        try:
            return self.ec2("run_instances", wanted, **parameters)
        except ProviderError as error:
            # IAM tells EC2 of a new profile some seconds later.
            if "Invalid IAM Instance Profile" in str(error):
                raise TransientError(str(error)) from error
            raise

    def _image(self, wanted: Resource) -> Mapping[str, Any]:
        """The newest image that the filters find. Preflight has seen that there is one."""
        found = list(self.api.pages("ec2", "describe_images", "Images", **wanted.properties["image_id"]))
        if not found:
            raise ProviderError(f"{wanted.key}: no image {wanted.properties['image']}")
        newest: Mapping[str, Any] = max(found, key=lambda image: str(image.get("CreationDate", "")))
        return newest

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        changed = {change.field for change in changes}
        if "security_groups" in changed:
            groups = wanted.properties["security_groups"]
            self.ec2("modify_instance_attribute", wanted, InstanceId=found.id, Groups=groups)
        if "identity" in changed:
            self._associate(found, wanted)
        if "running" in changed:
            self.ec2("start_instances", wanted, InstanceIds=[found.id])
        if changed & {"pool", "roles"}:
            tags = tag_list({POOL: wanted.properties["pool"], ROLES: " ".join(wanted.properties["roles"])})
            self.ec2("create_tags", wanted, Resources=[found.id], Tags=tags)
        return self.finish(wanted, found.id, **found.details)

    def _associate(self, found: Found, wanted: Resource) -> None:
        filters = [{"Name": "instance-id", "Values": [found.id]}]
        for one in self.api.pages(
            "ec2", "describe_iam_instance_profile_associations", "IamInstanceProfileAssociations", Filters=filters
        ):
            if one["State"] in ("associating", "associated"):
                self.ec2("disassociate_iam_instance_profile", wanted, gone=True, AssociationId=one["AssociationId"])
        if wanted.properties["identity"]:
            profile = {"Name": wanted.properties["identity"]}
            self.ec2("associate_iam_instance_profile", wanted, InstanceId=found.id, IamInstanceProfile=profile)

    def delete(self, found: Found) -> None:
        self.ec2("terminate_instances", found, gone=True, InstanceIds=[found.id])


def console(api: Api, machine: str) -> str:
    """The text of the console now. Types that are not built on Nitro have only that of some minutes after the start."""
    try:
        answer = api.call("ec2", "get_console_output", about=machine, InstanceId=machine, Latest=True)
    except ProviderError as error:
        if "UnsupportedOperation" not in str(error):
            raise
        answer = api.call("ec2", "get_console_output", about=machine, InstanceId=machine)
    return str(answer.get("Output") or "")
