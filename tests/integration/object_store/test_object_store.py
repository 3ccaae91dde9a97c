# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the users of a real S3 server may do, and what becomes of what they store."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._object_store.errors import ObjectStoreError
from ansible_collections.caravan.cluster.plugins.module_utils._object_store.plan import Bucket
from object_store_server import Keys, ObjectStore, running


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """The server's word for what it refused."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def test_a_writer_takes_nothing_away(object_store: ObjectStore) -> None:
    bucket = object_store.bucket("backups")
    writer, keeper = object_store.client(object_store.writer), object_store.client(object_store.keeper)
    first = writer.put_object(Bucket=bucket, Key="a/etcd/one", Body=b"good")["VersionId"]
    assert writer.get_object(Bucket=bucket, Key="a/etcd/one")["Body"].read() == b"good"
    assert [each["Key"] for each in writer.list_objects_v2(Bucket=bucket)["Contents"]] == ["a/etcd/one"]

    one = {"Bucket": bucket, "Key": "a/etcd/one"}
    assert refusal(writer.delete_object, **one) == "AccessDenied"
    assert refusal(writer.delete_object, **one, VersionId=first) == "AccessDenied"
    many = writer.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a/etcd/one"}]})
    assert [each["Code"] for each in many["Errors"]] == ["AccessDenied"]
    assert refusal(writer.delete_bucket, Bucket=bucket) == "AccessDenied"
    assert refusal(writer.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}) == (
        "AccessDenied"
    )
    assert refusal(writer.delete_bucket_policy, Bucket=bucket) == "AccessDenied"

    # What it overwrites stays, out of its reach.
    writer.put_object(**one, Body=b"evil")
    assert keeper.get_object(**one, VersionId=first)["Body"].read() == b"good"
    assert refusal(writer.delete_object, **one, VersionId=first) == "AccessDenied"


def test_a_keeper_deletes_what_is_not_locked(object_store: ObjectStore) -> None:
    bucket = object_store.bucket("backups")
    writer, keeper = object_store.client(object_store.writer), object_store.client(object_store.keeper)
    version = writer.put_object(Bucket=bucket, Key="one", Body=b"1")["VersionId"]
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    assert refusal(writer.put_object_retention, Bucket=bucket, Key="one", Retention=retention) == "AccessDenied"
    keeper.put_object_retention(Bucket=bucket, Key="one", VersionId=version, Retention=retention)

    assert refusal(keeper.put_object, Bucket=bucket, Key="two", Body=b"2") == "AccessDenied"
    one = {"Bucket": bucket, "Key": "one", "VersionId": version}
    assert refusal(keeper.delete_object, **one) == "AccessDenied"
    assert refusal(keeper.delete_object, **one, BypassGovernanceRetention=True) == "AccessDenied"
    time.sleep(4.5)
    keeper.delete_object(**one)
    assert "Versions" not in keeper.list_object_versions(Bucket=bucket)


def test_nobody_else_gets_in(object_store: ObjectStore) -> None:
    bucket = object_store.bucket("backups")
    stranger = object_store.client(Keys("stranger", "no-secret"))
    assert refusal(stranger.list_objects_v2, Bucket=bucket) == "InvalidAccessKeyId"
    forger = object_store.client(Keys(object_store.writer.access, "another"))
    assert refusal(forger.list_objects_v2, Bucket=bucket) == "SignatureDoesNotMatch"
    object_store.bucket("others", grants={})
    assert refusal(object_store.client(object_store.writer).list_objects_v2, Bucket="others") == "AccessDenied"


def test_a_user_gets_another_key_while_the_server_runs(object_store: ObjectStore) -> None:
    bucket = object_store.bucket("backups")
    before, after = object_store.client(object_store.writer), Keys(object_store.writer.access, "another-secret-key")
    before.put_object(Bucket=bucket, Key="one", Body=b"1")
    object_store.set_users(after)
    assert refusal(before.list_objects_v2, Bucket=bucket) == "SignatureDoesNotMatch"
    assert object_store.client(after).list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert refusal(object_store.client(object_store.keeper).list_objects_v2, Bucket=bucket) == "InvalidAccessKeyId"


def test_a_bucket_is_made_once(object_store: ObjectStore) -> None:
    wanted = Bucket("backups", retention=("GOVERNANCE", 3), grants={"writer": "writer", "keeper": "keeper"})
    admin = object_store.admin()
    assert [step.verb for step in admin.apply(wanted)] == ["create", "retention", "policy"]
    assert admin.apply(wanted) == []
    fewer = Bucket("backups", grants={"keeper": "keeper"})
    assert [step.verb for step in admin.apply(fewer)] == ["retention", "policy"]
    assert admin.apply(fewer) == []
    assert [step.verb for step in admin.apply(Bucket("backups"))] == ["no_policy"]
    plain = Bucket("plain", versioning=False, lock=False)
    assert [step.verb for step in admin.apply(plain)] == ["create"]
    assert admin.apply(plain) == []
    with pytest.raises(ObjectStoreError, match="made without object lock"):
        admin.apply(Bucket("plain"))


def test_it_comes_back_with_all_it_had(object_store: ObjectStore) -> None:
    bucket = object_store.bucket("backups")
    writer = object_store.client(object_store.writer, timeout=1)
    writer.put_object(Bucket=bucket, Key="one", Body=b"1")
    object_store.kill()
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        writer.list_objects_v2(Bucket=bucket)
    object_store.start()
    object_store.freeze()
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        writer.list_objects_v2(Bucket=bucket)
    object_store.thaw()
    assert writer.get_object(Bucket=bucket, Key="one")["Body"].read() == b"1"


def test_a_full_disk_is_said_and_nothing_half_is_stored(tmp_path: Path) -> None:
    with running(tmp_path / "small", megabytes=16) as store:
        bucket = store.bucket("backups")
        writer = store.client(store.writer)
        store.fill_disk()
        with pytest.raises(botocore.exceptions.ClientError):
            writer.put_object(Bucket=bucket, Key="one", Body=b"1" * (1 << 20))
        assert "Contents" not in writer.list_objects_v2(Bucket=bucket)
        store.empty_disk()
        writer.put_object(Bucket=bucket, Key="one", Body=b"1" * (1 << 20))
