# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore drills: what they prove, and what they have to catch. etcd, age, zstd, rclone and the S3 server are real."""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import drill, drill_run
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.stores import Store
from built_programs import programs
from drill_scene import (
    CLUSTER,
    ETCD,
    KEY1,
    KEY2,
    KUBERNETES,
    Backup,
    Identity,
    Key,
    add_bundle,
    connect,
    made,
    made_through_an_api_server,
    new_key,
)
from object_store_server import ObjectStore, running

pytestmark = pytest.mark.skipif(
    not all(shutil.which(program) for program in ("age", "rclone", "zstd")), reason="wants age, rclone and zstd"
)
BUCKET = "backups"
HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module", autouse=True)
def built_programs() -> Iterator[None]:
    """The programs that the mirror serves come first in PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs('etcd', ETCD)}:{programs('kubernetes', KUBERNETES)}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A directory in memory, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="caravan-", dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with running(tmp_path_factory.mktemp("drill") / "server") as store:
        store.bucket(BUCKET)
        yield store


@pytest.fixture(scope="module")
def key(memory: Path) -> Key:
    return new_key(memory / "identity")


@pytest.fixture(scope="module")
def owner() -> Identity:
    return Identity()


@pytest.fixture(scope="module")
def whole(memory: Path, owner: Identity, key: Key) -> Backup:
    """A backup with which nothing is wrong."""
    return made(memory / "whole", owner, key.recipient)


@dataclass
class Scene:
    """A backup of one's own, to do harm to, and a part of the store, as the backup host and as a node reach it."""

    backup: Backup
    store: Store
    node: Store
    settings: drill_run.Settings

    def drill(self, **changes: object) -> drill.StoreReport:
        self.backup.upload(self.node)
        return drill_run.run(replace(self.settings, **changes), self.store)  # type: ignore[arg-type]


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, memory: Path, server: ObjectStore, whole: Backup, key: Key
) -> Scene:
    prefix = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    store, node = (connect(server, keys, tmp_path, BUCKET, prefix) for keys in (server.keeper, server.writer))
    settings = drill_run.Settings(CLUSTER, str(key.file), str(memory), HOUR, HOUR / 2, timeout=60)
    return Scene(whole.copy(tmp_path / "backup"), store, node, settings)


def only_failure(report: drill.StoreReport) -> drill.Check:
    assert report.verdict == drill.FAILED
    assert len(report.failures) == 1, report.failures
    return report.failures[0]


def test_a_good_backup_passes_every_check(scene: Scene, memory: Path) -> None:
    before = sorted(memory.iterdir())
    report = scene.drill()
    assert report.failures == []
    assert report.verdict == drill.PASSED
    states = {check.name: check.state for check in report.checks}
    assert states == dict.fromkeys([name for name in drill.CHECKS if name != "api_server"], drill.PASSED)
    assert report.encrypted == {"key1": 130}
    assert report.counts == {
        "/registry/acid.zalan.do/postgresqls": 1,
        "/registry/configmaps": 3,
        "/registry/pods": 40,
        "/registry/secrets": 130,
    }
    assert sorted(memory.iterdir()) == before, "something was left behind"


def test_catches_a_flipped_bit(scene: Scene) -> None:
    data = bytearray(scene.backup.files[scene.backup.key].read_bytes())
    data[len(data) // 2] ^= 1
    scene.backup.write(scene.backup.key, bytes(data))
    check = only_failure(scene.drill())
    assert (check.name, check.text[:40]) == ("object", "the object is not what was uploaded: SHA")


def test_catches_a_flipped_bit_that_the_manifest_agrees_with(scene: Scene) -> None:
    """age authenticates what it encrypts."""
    data = bytearray(scene.backup.files[scene.backup.key].read_bytes())
    data[len(data) // 2] ^= 1
    scene.backup.write(scene.backup.key, bytes(data))
    scene.backup.change_manifest(sha256=hashlib.sha256(data).hexdigest())
    check = only_failure(scene.drill())
    assert check.name == "opens"
    assert "damaged" in check.text


def test_catches_a_truncated_object(scene: Scene) -> None:
    data = scene.backup.files[scene.backup.key].read_bytes()
    scene.backup.write(scene.backup.key, data[:-1000])
    check = only_failure(scene.drill())
    assert check.name == "object"
    assert check.text == f"the object is truncated: {len(data) - 1000} bytes, wanted {len(data)}"


def test_catches_an_empty_object(scene: Scene) -> None:
    scene.backup.write(scene.backup.key, b"")
    check = only_failure(scene.drill())
    assert check.name == "object"
    assert check.text.startswith("the object is empty")


def test_catches_an_object_that_is_gone(scene: Scene) -> None:
    del scene.backup.files[scene.backup.key]
    check = only_failure(scene.drill())
    assert check.name == "object"


def test_catches_a_wrong_recipient(scene: Scene, memory: Path) -> None:
    other = new_key(memory / f"other-{os.getpid()}")
    report = scene.drill(identity_file=str(other.file))
    other.file.unlink()
    assert [check.name for check in report.failures] == ["opens", "bundle"]
    assert "encrypted to other recipients" in report.failures[0].text
    assert "encrypted to other recipients" in report.failures[1].text


@pytest.mark.parametrize("part", ["control_plane", "etcd"])
def test_catches_a_missing_bundle(scene: Scene, part: str) -> None:
    for key in scene.backup.bundle_keys(part):
        del scene.backup.files[key]
    check = only_failure(scene.drill())
    assert check.name == "bundle"
    assert "is missing in the store" in check.text


def test_catches_a_bundle_that_was_never_stored(scene: Scene) -> None:
    scene.backup.change_manifest(identity={})
    check = only_failure(scene.drill())
    assert check.text == "no identity bundle of the part control_plane was stored when the snapshot was taken"


def test_catches_a_damaged_bundle(scene: Scene) -> None:
    key = next(key for key in scene.backup.bundle_keys("etcd") if key.endswith(".age"))
    scene.backup.write(key, scene.backup.files[key].read_bytes()[:-1])
    check = only_failure(scene.drill())
    assert (check.name, "is not what was uploaded" in check.text) == ("bundle", True)


def test_catches_a_bundle_that_lacks_a_key(scene: Scene, owner: Identity, key: Key) -> None:
    part = owner.bundle("control_plane")
    del part.files["/etc/kubernetes/pki/sa.key"]
    poor = Identity()
    poor.files = {"control_plane": part.files, "etcd": owner.files["etcd"]}
    bundle = add_bundle(scene.backup, poor, "control_plane", scene.backup.name.time, key.recipient)
    scene.backup.change_manifest(identity={**scene.backup.manifest()["identity"], "control_plane": bundle})
    check = only_failure(scene.drill())
    assert check.text == "the identity bundle (control_plane) lacks /etc/kubernetes/pki/sa.key"


def test_catches_an_outdated_bundle(scene: Scene, owner: Identity, key: Key) -> None:
    """A newer one was there when the snapshot was taken, and the manifest names the older one."""
    newer = add_bundle(scene.backup, owner, "etcd", scene.backup.name.time - HOUR, key.recipient)
    check = only_failure(scene.drill())
    assert check.name == "bundle"
    assert f"is outdated: {newer} was stored before the snapshot" in check.text


def test_catches_a_bundle_older_than_the_last_rotation(scene: Scene, memory: Path, key: Key) -> None:
    """The encryption key was rotated, and the bundle with the new one never reached the store."""
    rotated = Identity(keys={"key1": KEY1})
    scene.backup = made(memory / "rotated", rotated, key.recipient, key=KEY2, key_name="key2")
    check = only_failure(scene.drill())
    assert check.name == "secrets"
    assert "is under the encryption key key2, which the identity bundle lacks (it has: key1)" in check.text
    assert check.text.endswith("and 129 more")


def test_catches_a_key_of_the_same_name(scene: Scene, memory: Path, key: Key) -> None:
    scene.backup = made(memory / "renamed", Identity(keys={"key1": KEY1}), key.recipient, key=KEY2)
    check = only_failure(scene.drill())
    assert "does not open with the key key1" in check.text


def test_a_bundle_of_a_rotation_opens_both_keys(scene: Scene, memory: Path, key: Key) -> None:
    owner = Identity(keys={"key2": KEY2, "key1": KEY1})
    scene.backup = made(memory / "both", owner, key.recipient, key=KEY2, key_name="key2")
    report = scene.drill()
    assert report.failures == []
    assert report.encrypted == {"key2": 130}


def test_catches_a_backup_under_the_name_of_another_cluster(scene: Scene) -> None:
    scene.backup.change_manifest(cluster="lagoon")
    check = only_failure(scene.drill())
    assert (check.name, check.text) == ("manifest", "it is a backup of the cluster lagoon, wanted harbour")


def test_catches_a_snapshot_of_another_cluster(scene: Scene, memory: Path, owner: Identity, key: Key) -> None:
    """The name, the manifest and the bundle are this cluster's, but not what is in the snapshot."""
    other = Identity()
    other.cluster = "lagoon"
    mixed = Identity()
    mixed.files = owner.files
    mixed.text = other.text
    scene.backup = made(memory / "mixed", mixed, key.recipient)
    report = scene.drill()
    assert [check.name for check in report.failures] == ["authorities"]
    assert "is of another cluster: not its CA of Kubernetes and CA of the front proxy" in report.failures[0].text


def test_catches_another_snapshot_than_the_manifest_describes(scene: Scene) -> None:
    told = scene.backup.manifest()
    scene.backup.change_manifest(hash=told["hash"] ^ 1)
    check = only_failure(scene.drill())
    assert check.name == "snapshot"
    assert "the snapshot is not the one of its manifest: hash" in check.text


def test_catches_other_numbers_of_objects(scene: Scene) -> None:
    counts = scene.backup.manifest()["counts"]
    scene.backup.change_manifest(counts={**counts, "/registry/pods": 41})
    check = only_failure(scene.drill())
    assert check.text == "other numbers than in the live cluster: 40 /registry/pods, wanted 41"


def test_catches_a_newer_etcd(scene: Scene) -> None:
    old = scene.backup.name
    newer = replace(old, etcd_version="3.7.0")
    scene.backup.change_manifest(etcd_version="3.7.0", key=newer.key)
    for before, after in ((old.key, newer.key), (old.manifest_key, newer.manifest_key)):
        scene.backup.files[after] = scene.backup.files.pop(before)
    report = scene.drill()
    assert [check.name for check in report.failures] == ["version"]
    assert report.failures[0].text == f"it was made by etcd 3.7.0, newer than {ETCD}, which is installed here"
    assert {check.name for check in report.checks if check.state == drill.SKIPPED} >= {"restored", "secrets"}


def test_catches_a_missing_manifest(scene: Scene, memory: Path, owner: Identity, key: Key) -> None:
    older = made(memory / "older", owner, key.recipient)
    shift = replace(older.name, time=older.name.time - datetime.timedelta(minutes=50))
    files = {shift.key: older.files[older.key]}
    older.change_manifest(key=shift.key)
    files[shift.manifest_key] = older.files[older.name.manifest_key]
    scene.backup.files = {**older.files, **scene.backup.files, **files}
    for manifest_key in (older.name.manifest_key, scene.backup.name.manifest_key):
        scene.backup.files.pop(manifest_key, None)
    report = scene.drill(grace=datetime.timedelta(minutes=1), max_age=2 * HOUR)
    assert report.backup == shift.short
    check = only_failure(report)
    assert check.name == "stray"
    assert scene.backup.name.short in check.text


def test_catches_that_there_is_only_what_was_never_verified(scene: Scene) -> None:
    del scene.backup.files[scene.backup.name.manifest_key]
    check = only_failure(scene.drill())
    assert check.text.startswith("there is no backup at all of the cluster harbour; 1 snapshots there have no manifest")


def test_catches_that_there_is_no_backup_at_all(scene: Scene) -> None:
    scene.backup.files = {}
    report = scene.drill()
    assert only_failure(report).text == "there is no backup at all of the cluster harbour"
    assert report.backup == ""


def test_catches_a_backup_that_is_too_old(scene: Scene) -> None:
    check = only_failure(scene.drill(max_age=datetime.timedelta(minutes=2)))
    assert check.name == "age"
    assert "wanted at most 2 min" in check.text


def test_a_backup_can_be_asked_for_by_name(scene: Scene) -> None:
    report = scene.drill(backup=scene.backup.name.short, max_age=datetime.timedelta())
    assert report.failures == []
    other = drill_run.run(replace(scene.settings, backup="20200101T000000Z"), scene.store)
    assert only_failure(other).text == "there is no backup 20200101T000000Z of the cluster harbour"


def test_catches_a_store_that_does_not_answer(scene: Scene, server: ObjectStore) -> None:
    server.freeze()
    try:
        store = replace(scene.store, idle_timeout=2, timeout=10)
        check = only_failure(drill_run.run(scene.settings, store))
    finally:
        server.thaw()
    assert check.name == "store"


def test_refuses_to_work_on_a_disk(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="wanted a tmpfs"):
        drill_run.run(replace(scene.settings, work=str(tmp_path)), scene.store)


def test_an_api_server_reads_what_was_restored(scene: Scene, memory: Path, key: Key) -> None:
    scene.backup = made_through_an_api_server(memory / "real", Identity(), key.recipient, broken=False)
    report = scene.drill(api_server=True)
    assert report.failures == []
    check = report.checks[-1]
    assert (check.name, check.state) == ("api_server", drill.PASSED)
    assert "an API server reads 20 Secrets" in check.text


def test_catches_what_only_an_api_server_finds(scene: Scene, memory: Path, key: Key) -> None:
    scene.backup = made_through_an_api_server(memory / "broken", Identity(), key.recipient, broken=True)
    check = only_failure(scene.drill(api_server=True, timeout=30))
    assert check.name == "api_server"
    # Its own caches want every Secret.
    assert (
        "kube-apiserver was not ready within 30 s: the API server refuses GET /readyz: [-]informer-sync" in check.text
    )
