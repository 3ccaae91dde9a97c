# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps data: buckets, and the keys that disks are encrypted with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import ProviderError
from ..model import Change, Found, Kind, Properties, Resource
from .api import tag_list, tags_of
from .ec2 import AwsHandler

CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


class Bucket(AwsHandler):
    """Names are the whole world's: the bucket is called after infra_id, and is the cluster's own only with its tags.

    lock_days: how long no version can be deleted by anyone; a bucket has the ability from its first day or never.
    """

    kind = Kind("bucket", mutable=frozenset({"versioning", "lock_days", "closed"}), keeps_data=True, replaceable=False)

    def s3(self, operation: str, bucket: str, gone: bool = False, **parameters: Any) -> Any:
        return self.api.call("s3", operation, about=f"bucket {bucket}", gone=gone, Bucket=bucket, **parameters)

    def observe(self) -> Iterator[Found]:
        prefix = self.at_provider("")
        for bucket in self.api.pages("s3", "list_buckets", "Buckets", Prefix=prefix):
            # Not every S3 server filters.
            if bucket["Name"].startswith(prefix):
                tags = self._tags(bucket["Name"])
                if self.ownership.owns(tags):
                    yield self._found(bucket, tags)

    def _tags(self, name: str) -> dict[str, str]:
        return tags_of(self.s3("get_bucket_tagging", name, gone=True) or {}, "TagSet")

    def _found(self, bucket: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        name = bucket["Name"]
        lock = (self.s3("get_object_lock_configuration", name, gone=True) or {}).get("ObjectLockConfiguration", {})
        closed = (self.s3("get_public_access_block", name, gone=True) or {}).get("PublicAccessBlockConfiguration")
        properties = {
            "versioning": self.s3("get_bucket_versioning", name).get("Status") == "Enabled",
            "lockable": lock.get("ObjectLockEnabled") == "Enabled",
            "lock_days": lock.get("Rule", {}).get("DefaultRetention", {}).get("Days", 0),
            "closed": closed == CLOSED,
        }
        return Found("bucket", self.ownership.name(tags), name, properties, self.ownership.stamp(tags))

    def create(self, wanted: Resource, token: str) -> Found:
        name = self.at_provider(wanted.name, 63)
        region = self.api.settings.region
        # The oldest region is the one that must not be named.
        place: dict[str, Any] = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        try:
            self.s3("create_bucket", name, ObjectLockEnabledForBucket=wanted.properties["lockable"], **place)
        except ProviderError as error:
            # Left without tags by an interrupted run: S3 names and tags buckets in two calls.
            if "BucketAlreadyOwnedByYou" not in str(error) or self._tags(name):
                raise
        self.s3("put_bucket_tagging", name, Tagging={"TagSet": tag_list(self.ownership.tags(wanted.name))})
        return self._complete(wanted, name, {})

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id, found.properties)

    def _complete(self, wanted: Resource, name: str, current: Properties) -> Found:
        own = wanted.properties
        if not current.get("closed"):
            self.s3("put_public_access_block", name, PublicAccessBlockConfiguration=CLOSED)
        if current.get("versioning") != own["versioning"] and (own["versioning"] or current):
            status = {"Status": "Enabled" if own["versioning"] else "Suspended"}
            self.s3("put_bucket_versioning", name, VersioningConfiguration=status)
        if own["lockable"] and current.get("lock_days") != own["lock_days"]:
            rule = {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": own["lock_days"]}}}
            lock = {"ObjectLockEnabled": "Enabled", **(rule if own["lock_days"] else {})}
            self.s3("put_object_lock_configuration", name, ObjectLockConfiguration=lock)
        tags = tag_list(self.ownership.tags(wanted.name, wanted.stamp))
        self.s3("put_bucket_tagging", name, Tagging={"TagSet": tags})
        return Found(wanted.kind, wanted.name, name, own, wanted.stamp)

    def delete(self, found: Found) -> None:
        """With all that is in it, since the user has named it. What is locked refuses, and then the bucket stays."""
        for kind in ("Versions", "DeleteMarkers"):
            objects = self.api.pages("s3", "list_object_versions", kind, Bucket=found.id)
            for one in objects:
                self.s3("delete_object", found.id, Key=one["Key"], VersionId=one["VersionId"])
        self.s3("delete_bucket", found.id, gone=True)


class Key(AwsHandler):
    """A KMS key. Its deletion takes effect after a week, in which it can be taken back."""

    kind = Kind("key", mutable=frozenset({"rotation"}), keeps_data=True, replaceable=False)
    WAITING_DAYS = 7

    def observe(self) -> Iterator[Found]:
        filters = [{"Key": key, "Values": [value]} for key, value in self.ownership.identifying().items()]
        for one in self.api.pages(
            "resourcegroupstaggingapi",
            "get_resources",
            "ResourceTagMappingList",
            ResourceTypeFilters=["kms:key"],
            TagFilters=filters,
        ):
            arn, tags = one["ResourceARN"], tags_of(one)
            described = self.api.call("kms", "describe_key", gone=True, KeyId=arn)
            if not described or described["KeyMetadata"]["KeyState"] == "PendingDeletion":
                continue
            rotation = self.api.call("kms", "get_key_rotation_status", KeyId=arn)["KeyRotationEnabled"]
            if self.ownership.owns(tags):
                yield Found("key", self.ownership.name(tags), arn, {"rotation": rotation}, self.ownership.stamp(tags))

    def create(self, wanted: Resource, token: str) -> Found:
        tags = [{"TagKey": key, "TagValue": value} for key, value in self.ownership.tags(wanted.name).items()]
        answer = self.api.call(
            "kms", "create_key", about=wanted.key, Description=self.at_provider(wanted.name), Tags=tags
        )
        return self._complete(wanted, answer["KeyMetadata"]["Arn"])

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id)

    def _complete(self, wanted: Resource, arn: str) -> Found:
        operation = "enable_key_rotation" if wanted.properties["rotation"] else "disable_key_rotation"
        self.api.call("kms", operation, about=wanted.key, KeyId=arn)
        tags = [{"TagKey": self.ownership.stamp_tag, "TagValue": wanted.stamp}]
        self.api.call("kms", "tag_resource", about=wanted.key, KeyId=arn, Tags=tags)
        return Found(wanted.kind, wanted.name, arn, wanted.properties, wanted.stamp)

    def delete(self, found: Found) -> None:
        self.api.call(
            "kms",
            "schedule_key_deletion",
            about=found.key,
            gone=True,
            KeyId=found.id.rpartition("/")[2],
            PendingWindowInDays=self.WAITING_DAYS,
        )
