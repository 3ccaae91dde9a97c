# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bucket should be, and the steps from what it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import ObjectStoreError

POLICY_VERSION = "2012-10-17"
RETENTION_MODES = ["GOVERNANCE", "COMPLIANCE"]
#: What a grant allows: on the bucket, and on the objects in it. Nobody is given s3:BypassGovernanceRetention.
GRANTS: dict[str, tuple[list[str], list[str]]] = {
    "reader": (["s3:GetBucketLocation", "s3:ListBucket"], ["s3:GetObject"]),
    # Takes backups, and takes nothing away: what it overwrites stays as an older version that it cannot reach.
    "writer": (
        ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
        ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
    ),
    # Prunes: removes versions for good, once their lock has ended, and locks them until then.
    "keeper": (
        [
            "s3:GetBucketLocation",
            "s3:GetBucketObjectLockConfiguration",
            "s3:GetBucketVersioning",
            "s3:ListBucket",
            "s3:ListBucketVersions",
        ],
        [
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:GetObject",
            "s3:GetObjectLegalHold",
            "s3:GetObjectRetention",
            "s3:GetObjectVersion",
            "s3:PutObjectRetention",
        ],
    ),
}


@dataclass(frozen=True)
class Bucket:
    """A bucket as it should be.

    `lock` is object lock, which wants versioning and cannot be taken back. `retention` is the lock that the server puts
    on what is stored, ("GOVERNANCE" or "COMPLIANCE", days), None for none. `grants` maps users, by their access keys,
    to one of GRANTS.
    """

    name: str
    versioning: bool = True
    lock: bool = True
    retention: tuple[str, int] | None = None
    grants: Mapping[str, str] = field(default_factory=dict)

    def policy(self) -> dict[str, Any] | None:
        return policy(self.name, self.grants)


@dataclass(frozen=True)
class Seen:
    """A bucket as the server has it. `policy` is a `canonical` one, None when there is none."""

    versioning: bool
    lock: bool
    retention: tuple[str, int] | None
    policy: dict[str, Any] | None


@dataclass(frozen=True)
class Step:
    """One call to the server: create, versioning, retention, policy or no_policy."""

    verb: str
    bucket: str
    value: Any = None

    def __str__(self) -> str:
        return f"{self.bucket}: {self.verb}" if self.value is None else f"{self.bucket}: {self.verb} {self.value}"


def policy(bucket: str, grants: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the bucket policy that gives users (by their access keys) their grants. None when there is no user."""
    statements = []
    for grant in sorted(set(grants.values())):
        on_bucket, on_objects = GRANTS[grant]
        users = sorted(user for user, given in grants.items() if given == grant)
        for actions, resource in ((on_bucket, bucket), (on_objects, f"{bucket}/*")):
            statements.append(
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": users},
                    "Action": actions,
                    "Resource": [f"arn:aws:s3:::{resource}"],
                }
            )
    return canonical({"Version": POLICY_VERSION, "Statement": statements}) if statements else None


def steps(wanted: Bucket, seen: Seen | None) -> list[Step]:
    """Return what has to be done. ObjectStoreError for what no server can do to a bucket that exists."""
    if wanted.retention and not wanted.lock:
        raise ObjectStoreError(f"bucket {wanted.name}: a default retention wants object lock, which is off")
    if wanted.lock and not wanted.versioning:
        raise ObjectStoreError(f"bucket {wanted.name}: object lock wants versioning, which is off")
    found = []
    if seen is None:
        found.append(Step("create", wanted.name, "with object lock" if wanted.lock else None))
        # Object lock brings versioning with it.
        seen = Seen(versioning=wanted.lock, lock=wanted.lock, retention=None, policy=None)
    if wanted.lock and not seen.lock:
        raise ObjectStoreError(f"bucket {wanted.name} was made without object lock, which cannot be turned on later")
    if wanted.versioning != seen.versioning:
        if seen.lock:
            raise ObjectStoreError(f"bucket {wanted.name} has object lock, so its versioning cannot be turned off")
        found.append(Step("versioning", wanted.name, "Enabled" if wanted.versioning else "Suspended"))
    if wanted.retention != seen.retention and (wanted.lock or seen.lock):
        found.append(Step("retention", wanted.name, wanted.retention))
    if wanted.policy() != seen.policy:
        found.append(Step("policy" if wanted.policy() else "no_policy", wanted.name, wanted.policy()))
    return found


def canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bucket policy with the order of its lists settled, and with lists where a single word may stand."""

    def settled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: settled(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return sorted((settled(entry) for entry in value), key=lambda entry: json.dumps(entry, sort_keys=True))
        return value

    statements = []
    for statement in document.get("Statement", []):
        entry = dict(statement)
        if isinstance(entry.get("Principal"), (str, list)):
            entry["Principal"] = {"AWS": entry["Principal"]}
        for holder, key in ((entry, "Action"), (entry, "Resource"), (entry.get("Principal") or {}, "AWS")):
            if isinstance(holder.get(key), str):
                holder[key] = [holder[key]]
        statements.append(entry)
    result: dict[str, Any] = settled({**document, "Statement": statements})
    return result


def describe(state: Bucket | Seen | None) -> dict[str, Any]:
    """Return a wanted or a seen bucket in one shape, for a diff. Empty when there is none."""
    if state is None:
        return {}
    return {
        "versioning": state.versioning,
        "object_lock": state.lock,
        "default_retention": f"{state.retention[0]}, {state.retention[1]} days" if state.retention else "none",
        "policy": state.policy() if isinstance(state, Bucket) else state.policy,
    }


def check_names(names: Sequence[str]) -> None:
    """ObjectStoreError when a bucket is named twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ObjectStoreError(f"there is more than one bucket named {', '.join(twice)}")
