# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is found and proven whole before anything is touched; real age and zstd, stores in memory.

For the module restore_source. etcdutl and openssl are left to other tests: a few bytes stand for a snapshot.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import drill_bundle, restore_source, seal
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError, StoreError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.etcd import Status
from ansible_collections.caravan.cluster.plugins.module_utils._backup.identity import Bundle, digest, pack
from ansible_collections.caravan.cluster.plugins.module_utils._backup.manifest import (
    IdentityManifest,
    SnapshotManifest,
    dump,
)
from ansible_collections.caravan.cluster.plugins.module_utils._backup.names import IdentityName, SnapshotName
from ansible_collections.caravan.cluster.plugins.module_utils._backup.stores import Entry

MEMORY = Path("/dev/shm")
pytestmark = pytest.mark.skipif(
    shutil.which("age") is None or shutil.which("zstd") is None or not MEMORY.is_dir(),
    reason="age, zstd or a tmpfs is missing",
)
NOW = datetime.datetime(2026, 11, 21, 11, 0, tzinfo=datetime.timezone.utc)
CIDR = "10.244.0.0/16"


class Store:
    """A store in memory."""

    def __init__(self, name: str, objects: dict[str, bytes]) -> None:
        self.name = name
        self.objects = dict(objects)

    def list(self, folder: str) -> list[Entry]:
        prefix = f"{folder}/" if folder else ""
        return [Entry(key, len(data), NOW) for key, data in sorted(self.objects.items()) if key.startswith(prefix)]

    def read(self, key: str) -> bytes:
        if key not in self.objects:
            raise StoreError(f"store {self.name}: there is no {key}")
        return self.objects[key]

    def get(self, key: str, path: str) -> None:
        Path(path).write_bytes(self.read(key))


@dataclasses.dataclass
class Scene:
    """Backups of the cluster demo: one an hour old, one of now."""

    directory: Path
    wanted: restore_source.Wanted
    objects: dict[str, bytes]
    names: list[SnapshotName]

    def verify(self, *stores: Store, **change: Any) -> restore_source.Verified:
        found: Any = stores or (Store("near", self.objects),)
        return restore_source.verify(dataclasses.replace(self.wanted, **change), found, self.directory)

    def damaged(self, key: str) -> dict[str, bytes]:
        data = bytearray(self.objects[key])
        data[len(data) // 2] ^= 1
        return {**self.objects, key: bytes(data)}


def key_pair(path: Path) -> str:
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    return subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(
        restore_source, "status_of", lambda path, timeout: Status(7, 8, 9, len(Path(path).read_bytes()))
    )
    monkeypatch.setattr(drill_bundle, "check_whole", lambda bundles, cluster, public: None)
    recipient = key_pair(tmp_path / "age.key")
    objects: dict[str, bytes] = {}
    identity = {}
    for part in drill_bundle.FILES:
        bundle = Bundle({"cluster": "demo", "part": part, "pod_cidr": CIDR}, {"/etc/file": part.encode()})
        sealed = seal.encrypt(pack(bundle), [recipient], 20)
        name = IdentityName(NOW - datetime.timedelta(hours=2), part, digest(bundle)[:16], "demo")
        manifest = IdentityManifest("demo", name.key, "", "cp1", part, digest(bundle), len(sealed), sha256(sealed))
        objects |= {name.key: sealed, name.manifest_key: dump(manifest)}
        identity[part] = name.key
    names = []
    for hours in (1, 0):
        (tmp_path / "plain").write_bytes(b"snapshot")
        seal.seal(str(tmp_path / "plain"), str(tmp_path / "sealed"), [recipient], 20)
        data = (tmp_path / "sealed").read_bytes()
        snapshot = SnapshotName(NOW - datetime.timedelta(hours=hours), 7, "3.6.8", "cp1", "demo")
        told = SnapshotManifest(
            *("demo", snapshot.key, "", "cp1", "3.6.8", "1", 7, 8, 9, 8, len(data), sha256(data), {}, identity, [])
        )
        objects |= {snapshot.key: data, snapshot.manifest_key: dump(told)}
        names.append(snapshot)
    directory = restore_source.prepare(str(MEMORY / "caravan-test-source"))
    wanted = restore_source.Wanted("demo", "latest", str(tmp_path / "age.key"), "3.6.8", {"pod_cidr": CIDR}, 20)
    yield Scene(directory, wanted, objects, names)
    restore_source.remove(str(directory))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_newest_is_verified_and_stays_sealed(scene: Scene) -> None:
    found = scene.verify()
    assert (found.name, found.store, found.passed_over) == (scene.names[1], "near", [])
    assert sorted(path.name for path in scene.directory.iterdir()) == [
        "control_plane.sealed",
        "etcd.sealed",
        "snapshot.sealed",
    ]
    assert not any(b"snapshot" in path.read_bytes() for path in scene.directory.iterdir())


def test_a_damaged_copy_is_passed_over_for_the_same_backup_elsewhere(scene: Scene) -> None:
    found = scene.verify(Store("near", scene.damaged(scene.names[1].key)), Store("far", scene.objects))
    assert (found.name, found.store) == (scene.names[1], "far")
    assert found.passed_over[0].startswith("near: the object is not what was uploaded")


def test_an_older_backup_is_never_taken_by_itself(scene: Scene) -> None:
    with pytest.raises(BackupError, match=f"The one before it: restore_from={scene.names[0].short}"):
        scene.verify(Store("near", scene.damaged(scene.names[1].key)))


def test_another_key_opens_nothing(scene: Scene, tmp_path: Path) -> None:
    key_pair(tmp_path / "other.key")
    with pytest.raises(BackupError, match="encrypted to other recipients"):
        scene.verify(identity_file=str(tmp_path / "other.key"))
    with pytest.raises(BackupError, match="there is no age identity"):
        scene.verify(identity_file="/nowhere")


def test_a_store_of_another_cluster(scene: Scene) -> None:
    with pytest.raises(BackupError, match="no backup of the cluster prod; there are backups of demo"):
        scene.verify(cluster="prod")


def test_an_inventory_of_another_cluster(scene: Scene) -> None:
    with pytest.raises(BackupError, match=r"pod_cidr is 10\.1\.0\.0/16, the backup's is 10\.244\.0\.0/16"):
        scene.verify(settings={"pod_cidr": "10.1.0.0/16"})


def test_a_backup_of_a_newer_etcd(scene: Scene) -> None:
    with pytest.raises(BackupError, match=r"made by etcd 3\.6\.8, newer than 3\.5\.21"):
        scene.verify(etcd_version="3.5.21")


def test_a_bundle_that_is_missing(scene: Scene) -> None:
    left = {key: data for key, data in scene.objects.items() if "/identity/" not in key}
    with pytest.raises(BackupError, match=r"identity bundle .* is missing in the store"):
        scene.verify(Store("near", left))


def test_sealed_anew_only_the_machine_s_key_opens_it(scene: Scene, tmp_path: Path) -> None:
    scene.verify()
    recipient = key_pair(tmp_path / "host.key")
    made = restore_source.reseal(scene.directory, [recipient], scene.wanted.identity_file, 20)
    assert made == ["control_plane.age", "etcd.age", "snapshot.age"]
    sealed = str(scene.directory / "snapshot.age")
    seal.unseal(sealed, str(tmp_path / "out"), str(tmp_path / "host.key"), 20)
    assert (tmp_path / "out").read_bytes() == b"snapshot"
    with pytest.raises(BackupError, match="other recipients"):
        seal.unseal(sealed, str(tmp_path / "out"), scene.wanted.identity_file, 20)


def test_what_is_in_the_clear_is_never_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_source.memory, "file_system", lambda path, mounts: "ext4")
    with pytest.raises(BackupError, match="is on a disk"):
        restore_source.prepare(str(tmp_path / "work"))


def test_who_logs_in_may_read_what_is_handed_over_and_nothing_else(tmp_path: Path) -> None:
    for name in ("snapshot.age", "rclone.conf"):
        (tmp_path / name).touch(mode=0o600)
    user = os.getuid() or 65534
    restore_source.hand_over(tmp_path, ["snapshot.age"], user)
    assert [(tmp_path / name).stat().st_uid for name in ("snapshot.age", "rclone.conf")] == [user, os.getuid()]
    # No list of what else is there.
    assert tmp_path.stat().st_mode & 0o777 == 0o711
