# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the buckets of an S3 server and changing them, by boto3."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from .._backup.errors import StoreError
from .._backup.versions import client, code, told
from .errors import ObjectStoreError
from .plan import Bucket, Seen, Step, canonical, steps


class Server:
    """An S3 server, with credentials that may make buckets. ObjectStoreError when it cannot be asked."""

    def __init__(
        self, endpoint: str, access_key: str, secret_key: str, region: str = "", ca: str = "", timeout: float = 15
    ) -> None:
        """`ca`: the certificate authority as PEM; empty for this machine's own list."""
        self.endpoint = endpoint
        # As long as this object lives: connections are opened when they are needed.
        self._ca_file = tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115
        self._ca_file.write(ca)
        self._ca_file.flush()
        try:
            self._client = client(endpoint, region, access_key, secret_key, self._ca_file.name if ca else "", timeout)
        except StoreError as error:
            raise ObjectStoreError(str(error)) from error

    def wait(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Return when the server answers. ObjectStoreError with what was seen last, when it takes over `timeout` s."""
        end = clock() + timeout
        while True:
            try:
                with told(self.endpoint):
                    self._client.list_buckets()
                return
            except StoreError as error:
                # An answer is an answer, also when it is no.
                if code(error) or clock() > end:
                    raise ObjectStoreError(str(error)) from error
            time.sleep(0.2)

    def seen(self, name: str) -> Seen | None:
        """Return a bucket as it is, None when there is none."""
        if self._ask(self._client.head_bucket, name, absent=("404", "NoSuchBucket")) is None:
            return None
        versioning = self._ask(self._client.get_bucket_versioning, name) or {}
        lock = self._ask(
            self._client.get_object_lock_configuration, name, absent=("ObjectLockConfigurationNotFoundError",)
        )
        policy = self._ask(self._client.get_bucket_policy, name, absent=("NoSuchBucketPolicy",))
        locking = (lock or {}).get("ObjectLockConfiguration", {})
        retention = (locking.get("Rule") or {}).get("DefaultRetention") or {}
        return Seen(
            versioning=versioning.get("Status") == "Enabled",
            lock=locking.get("ObjectLockEnabled") == "Enabled",
            retention=(retention["Mode"], _days(retention)) if retention.get("Mode") else None,
            policy=canonical(json.loads(policy["Policy"])) if policy else None,
        )

    def apply(self, bucket: Bucket) -> list[Step]:
        """Bring a bucket to what it should be. Returns what was done."""
        todo = steps(bucket, self.seen(bucket.name))
        self.do(todo)
        return todo

    def do(self, todo: Sequence[Step]) -> None:
        for step in todo:
            self._do(step)

    def _do(self, step: Step) -> None:
        if step.verb == "create":
            self._ask(self._client.create_bucket, step.bucket, ObjectLockEnabledForBucket=step.value is not None)
        elif step.verb == "versioning":
            configuration = {"Status": step.value}
            self._ask(self._client.put_bucket_versioning, step.bucket, VersioningConfiguration=configuration)
        elif step.verb == "retention":
            configuration = _lock_configuration(step.value)
            self._ask(self._client.put_object_lock_configuration, step.bucket, ObjectLockConfiguration=configuration)
        elif step.verb == "policy":
            self._ask(self._client.put_bucket_policy, step.bucket, Policy=json.dumps(step.value))
        else:
            self._ask(self._client.delete_bucket_policy, step.bucket)

    def _ask(self, call: Callable[..., Any], bucket: str, absent: tuple[str, ...] = (), **arguments: Any) -> Any:
        """The server's answer; None when its word for an error is one of `absent`."""
        try:
            with told(f"{self.endpoint}: bucket {bucket}"):
                return call(Bucket=bucket, **arguments)
        except StoreError as error:
            if code(error) in absent:
                return None
            raise ObjectStoreError(str(error)) from error


def _days(retention: dict[str, Any]) -> int:
    return int(retention.get("Days") or 365 * int(retention.get("Years") or 0))


def _lock_configuration(retention: tuple[str, int] | None) -> dict[str, Any]:
    configuration: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
    if retention:
        configuration["Rule"] = {"DefaultRetention": {"Mode": retention[0], "Days": retention[1]}}
    return configuration
