# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of objects in a store, and the locks on them, by boto3.

rclone, which does all else, knows neither. boto3 is only needed where backups are pruned.
"""

from __future__ import annotations

import configparser
import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import StoreError
from .stores import Store


@dataclass(frozen=True)
class Version:
    """One version of an object. `id` is "" in a bucket that has never had versions; `marker`: it says "deleted"."""

    key: str
    id: str
    bytes: int
    time: datetime.datetime
    latest: bool = True
    marker: bool = False


@dataclass(frozen=True)
class Lock:
    """What keeps a version from being removed: until when, and in which mode. A legal hold has no end and no mode."""

    until: datetime.datetime
    mode: str = ""


def client(
    endpoint: str,
    region: str = "",
    access_key: str = "",
    secret_key: str = "",
    ca_file: str = "",
    timeout: float = 15,
    attempts: int = 3,
) -> Any:
    """Return a client of boto3, without keys one with those of its environment. `timeout`: seconds with no answer."""
    try:
        import boto3
        import botocore.config
    except ImportError as error:
        raise StoreError(
            "the Python package boto3 is not installed (Debian, Ubuntu, RHEL: python3-boto3); pruning wants it"
        ) from error
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=region or "us-east-1",
        aws_access_key_id=access_key or None,
        aws_secret_access_key=secret_key or None,
        verify=ca_file or None,
        config=botocore.config.Config(
            connect_timeout=5,
            read_timeout=timeout,
            # Servers of others know buckets by path only.
            s3={"addressing_style": "path" if endpoint else "auto"},
            retries={"mode": "standard", "total_max_attempts": attempts},
            parameter_validation=True,
        ),
    )


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """What boto3 raises as StoreError."""
    import botocore.exceptions

    try:
        yield
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as error:
        raise StoreError(f"{what}: {error}") from error


def code(error: StoreError) -> str:
    """Return the server's own word for an error, such as AccessDenied; empty when it said none."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


class Versions:
    """The versions in one store. It is reached with the credentials of rclone's configuration."""

    def __init__(self, store: Store) -> None:
        self.store = store
        remote = _remote(store)
        self._client = client(
            remote.get("endpoint", ""),
            remote.get("region", ""),
            remote.get("access_key_id", ""),
            remote.get("secret_access_key", ""),
            store.ca_file,
            store.idle_timeout,
        )

    def list(self, folder: str) -> list[Version]:
        """Return all versions of all objects below a folder, by key, the latest first."""
        prefix = self._key(folder).rstrip("/") + "/"
        with told(f"store {self.store.name}: versions in {prefix}"):
            status = self._client.get_bucket_versioning(Bucket=self.store.bucket).get("Status")
            found = list(self._versions(prefix) if status else self._objects(prefix))
        return sorted(found, key=lambda each: (each.key, not each.latest, -each.time.timestamp()))

    def lock_of(self, version: Version) -> Lock | None:
        """Return the lock on a version, also one that has ended."""
        if version.marker:
            return None
        with told(f"store {self.store.name}: lock of {version.key}"):
            head = self._client.head_object(**self._address(version))
        if head.get("ObjectLockLegalHoldStatus") == "ON":
            return Lock(datetime.datetime.max.replace(tzinfo=datetime.timezone.utc))
        until = head.get("ObjectLockRetainUntilDate")
        return Lock(until, str(head.get("ObjectLockMode") or "")) if until else None

    def lock(self, version: Version, until: datetime.datetime, mode: str = "GOVERNANCE") -> None:
        """Lock a version until then. A lock that is there can be made longer, and must not change its mode."""
        with told(f"store {self.store.name}: lock {version.key}"):
            self._client.put_object_retention(
                **self._address(version), Retention={"Mode": mode, "RetainUntilDate": until}
            )

    def delete(self, version: Version) -> None:
        """Remove a version for good. StoreError, with the code AccessDenied, when a lock is on it."""
        with told(f"store {self.store.name}: delete {version.key}"):
            self._client.delete_object(**self._address(version))

    def _versions(self, prefix: str) -> Iterator[Version]:
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self.store.bucket, Prefix=prefix)
        for page in pages:
            for kind, marker in (("Versions", False), ("DeleteMarkers", True)):
                for item in page.get(kind, []):
                    yield Version(
                        self._short(item["Key"]),
                        item["VersionId"],
                        int(item.get("Size", 0)),
                        item["LastModified"],
                        bool(item["IsLatest"]),
                        marker,
                    )

    def _objects(self, prefix: str) -> Iterator[Version]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.store.bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", []):
                yield Version(self._short(item["Key"]), "", int(item["Size"]), item["LastModified"])

    def _address(self, version: Version) -> dict[str, str]:
        address = {"Bucket": self.store.bucket, "Key": self._key(version.key)}
        return {**address, "VersionId": version.id} if version.id else address

    def _key(self, key: str) -> str:
        return "/".join(part for part in (self.store.prefix, key.strip("/")) if part)

    def _short(self, key: str) -> str:
        return key[len(self.store.prefix) + 1 :] if self.store.prefix else key


def _remote(store: Store) -> dict[str, str]:
    """The store's section of rclone's configuration."""
    parser = configparser.RawConfigParser()
    try:
        with Path(store.config).open(encoding="utf-8") as reader:
            parser.read_file(reader)
        return dict(parser[store.name])
    except (OSError, KeyError, configparser.Error) as error:
        raise StoreError(f"store {store.name} is not configured in {store.config}: {error}") from error
