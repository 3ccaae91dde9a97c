# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests: what is written is read, and what is not one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import identity, manifest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError

KEY = "prod/etcd/20261121T120000Z_r000000000007_v3.6.8_cp1.db.zst.age"
SNAPSHOT = manifest.SnapshotManifest(
    cluster="prod",
    key=KEY,
    time="20261121T120000Z",
    member="cp1",
    etcd_version="3.6.8",
    cluster_id="815",
    revision=7,
    hash=1,
    keys=9,
    db_bytes=4096,
    bytes=400,
    sha256="0" * 64,
    counts={"/registry/pods": 3},
    identity={"etcd": "prod/identity/x"},
    recipients=["age1"],
)


def changed(**changes: Any) -> bytes:
    document = json.loads(manifest.dump(SNAPSHOT)) | changes
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def test_what_is_written_is_read() -> None:
    assert manifest.load(manifest.SnapshotManifest, manifest.dump(SNAPSHOT), KEY) == SNAPSHOT
    assert manifest.load(manifest.SnapshotManifest, changed(more="later"), KEY) == SNAPSHOT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not JSON"),
        (b"[]", "format list"),
        (changed(format=2), "format 2, wanted 1"),
        (changed(sha256=None, revision=None), "lacks revision, sha256"),
        (changed(bytes="400"), "no number in bytes"),
        (changed(db_bytes=-1), "no number in db_bytes"),
        (changed(key="prod/etcd/other"), "is that of prod/etcd/other"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BackupError, match=words):
        manifest.load(manifest.SnapshotManifest, data, KEY)


def test_the_identity_has_the_same_digest_whoever_packs_it() -> None:
    one = identity.Bundle({"cluster": "prod", "part": "etcd"}, {"/a": b"1", "/b": b"2"})
    two = identity.Bundle({"part": "etcd", "cluster": "prod"}, {"/b": b"2", "/a": b"1"})
    assert identity.digest(one) == identity.digest(two)
    assert identity.pack(one) == identity.pack(two)
    assert identity.unpack(identity.pack(one)) == one
    for other in ({"/a": b"1", "/b": b"3"}, {"/a": b"12", "/b": b""}, {"/a": b"1"}):
        assert identity.digest(identity.Bundle(one.settings, other)) != identity.digest(one)


@pytest.mark.parametrize("data", [b"", b"no archive", b"\0" * 10240])
def test_what_is_no_identity_is_refused(data: bytes) -> None:
    with pytest.raises(BackupError, match="this is no identity bundle"):
        identity.unpack(data)
