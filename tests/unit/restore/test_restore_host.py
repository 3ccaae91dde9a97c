# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host during a restore: what is seen of it, the identity that is placed, the scrub that is cut off.

For the modules restore_info, restore_identity, control_plane_pause, etcd_restore and etcd_scrub.
"""

from __future__ import annotations

import base64
import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import seal
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.identity import Bundle, fingerprint, pack
from ansible_collections.caravan.cluster.plugins.module_utils._identity.catalogue import SharedFile
from ansible_collections.caravan.cluster.plugins.module_utils._restore import etcd, host
from ansible_collections.caravan.cluster.plugins.modules import control_plane_pause

NAME = "20261121T100000Z_r000000000100_v3.6.8_cp1"
MEMORY = Path("/dev/shm")
SEALED = MEMORY / "caravan-test-sealed"
needs_age = pytest.mark.skipif(
    shutil.which("age") is None or not MEMORY.is_dir(), reason="the program age, or a tmpfs, is missing"
)


@pytest.fixture(autouse=True)
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All of the host's paths below a directory of the test."""
    for name in ("RECORD", "CLUSTER", "MANIFESTS", "PAUSED"):
        monkeypatch.setattr(host, name, tmp_path / str(getattr(host, name)).lstrip("/"))
    for name in ("MANIFESTS", "PAUSED"):
        monkeypatch.setattr(control_plane_pause, name, getattr(host, name))
    return tmp_path


def test_an_empty_machine(etc: Path) -> None:
    seen = host.look(str(etc / "etcd"))
    assert seen.pop("memory") > 0
    assert seen == {"cluster": "", "control_plane": False, "data": [], "public": {}, "record": {}}


def test_what_a_node_of_a_cluster_shows(etc: Path) -> None:
    host.CLUSTER.parent.mkdir(parents=True)
    host.CLUSTER.write_text('{"name": "demo"}')
    host.PAUSED.mkdir(parents=True)
    (host.PAUSED / "kube-apiserver.yaml").touch()
    host.write_record({"backup": NAME, "step": "restored"})
    seen = host.look(str(etc / "etcd"))
    assert seen.pop("memory") > 0
    assert seen == {
        "cluster": "demo",
        "control_plane": True,
        "data": [],
        "public": {},
        "record": {"backup": NAME, "step": "restored"},
    }
    assert stat.S_IMODE(host.RECORD.stat().st_mode) == 0o600


def test_data_that_cannot_be_read_is_seen_too(etc: Path) -> None:
    """A start that failed leaves directories; a disk that failed leaves anything."""
    (etc / "etcd" / "member" / "wal").mkdir(parents=True)
    assert host.data_ids(str(etc / "etcd")) == []
    (etc / "etcd" / "member" / "db").write_bytes(b"database")
    assert host.data_ids(str(etc / "etcd")) == ["0", "0"]
    (etc / "etcd" / "member" / "wal" / "0.wal").write_bytes(bytes(64))
    assert host.data_ids(str(etc / "etcd")) == ["0", "0"]


def test_the_public_halves_are_told_by_their_fingerprints(files: dict[str, Path]) -> None:
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name}\n\n")
    assert host.public_halves() == {str(files["certificate"]): fingerprint(b"ca.crt")}


def test_a_control_plane_is_stopped_and_started_by_where_its_manifests_are() -> None:
    host.MANIFESTS.mkdir(parents=True)
    (host.MANIFESTS / "kube-apiserver.yaml").write_text("pod")
    (host.MANIFESTS / "other.yaml").touch()
    assert control_plane_pause.move(paused=True, check_mode=True) == ["kube-apiserver"]
    assert (host.MANIFESTS / "kube-apiserver.yaml").exists()
    assert control_plane_pause.move(paused=True, check_mode=False) == ["kube-apiserver"]
    assert control_plane_pause.move(paused=True, check_mode=False) == []
    assert [path.name for path in host.MANIFESTS.iterdir()] == ["other.yaml"]
    assert control_plane_pause.move(paused=False, check_mode=False) == ["kube-apiserver"]
    assert (host.MANIFESTS / "kube-apiserver.yaml").read_text() == "pod"


@pytest.fixture
def work() -> Iterator[Path]:
    directory = MEMORY / "caravan-test-restore"
    yield directory
    host.remove_key(directory, SEALED)


@pytest.fixture
def files(etc: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Files of an identity, sealed nowhere yet."""
    paths = {
        "key": etc / "pki" / "ca.key",
        "certificate": etc / "pki" / "ca.crt",
        "encryption": etc / "encryption.yml",
    }
    shared = [SharedFile(str(path), path.name, "control_plane") for path in paths.values()]
    monkeypatch.setattr(host, "shared_of", lambda parts: shared)
    monkeypatch.setattr(host, "ENCRYPTION", str(paths["encryption"]))
    return paths


def bring(work: Path, files: dict[str, Path]) -> None:
    bundle = Bundle(
        {"cluster": "demo", "part": "control_plane"}, {str(path): f"{name}\n".encode() for name, path in files.items()}
    )
    recipient = host.make_key(work, SEALED)
    (work / "control_plane.age").write_bytes(seal.encrypt(pack(bundle), [recipient], 20))


@needs_age
def test_a_host_gets_what_it_lacks(work: Path, files: dict[str, Path]) -> None:
    bring(work, files)
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    paths = sorted(map(str, files.values()))
    assert sorted(host.place_identity(work, ["control_plane"], False, check_mode=True)) == paths
    assert not files["key"].exists()
    assert sorted(host.place_identity(work, ["control_plane"], False, check_mode=False)) == paths
    assert (files["key"].read_text(), stat.S_IMODE(files["key"].stat().st_mode)) == ("key\n", 0o600)
    assert host.place_identity(work, ["control_plane"], False, check_mode=False) == []


@needs_age
@pytest.mark.parametrize("replace", [False, True])
def test_another_identity_is_refused_and_nothing_written(work: Path, files: dict[str, Path], replace: bool) -> None:
    bring(work, files)
    files["key"].parent.mkdir()
    files["key"].write_text("another\n")
    with pytest.raises(BackupError, match=r"another identity than the backup: .*ca\.key\. Nothing was changed"):
        host.place_identity(work, ["control_plane"], replace, check_mode=False)
    assert not files["encryption"].exists()


@needs_age
def test_rotated_encryption_keys_are_moved_aside(work: Path, files: dict[str, Path]) -> None:
    bring(work, files)
    files["encryption"].write_text("rotated\n")
    host.place_identity(work, ["control_plane"], True, check_mode=False)
    assert files["encryption"].read_text() == "encryption\n"
    assert [path.read_text() for path in files["encryption"].parent.glob("*.before-restore-*")] == ["rotated\n"]


@needs_age
def test_a_key_is_never_on_a_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host.memory, "file_system", lambda path, mounts: "ext4")
    with pytest.raises(BackupError, match=r"is on a disk \(ext4\)"):
        host.make_key(tmp_path / "work", tmp_path / "sealed")
    assert list(tmp_path.iterdir()) == []


class Etcd:
    """The keys of a member. It can be cut off after a number of transactions."""

    local = "https://127.0.0.1:2379"

    def __init__(self, keys: list[str]) -> None:
        self.keys = dict.fromkeys(keys, b"")
        self.transactions = 0
        self.limit = 1000

    def revision(self) -> int:
        return 1

    def walk(self, revision: int) -> Iterator[tuple[str, bytes]]:
        yield from sorted(self.keys.items())

    def call(self, url: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        if self.transactions >= self.limit:
            raise BackupError("cut off")
        self.transactions += 1
        assert len(body["success"]) <= 128
        for operation in body["success"]:
            del self.keys[base64.b64decode(operation["requestDeleteRange"]["key"]).decode()]
        return {}


def test_a_scrub_that_was_cut_off_is_completed_and_tells_all() -> None:
    member: Any = Etcd([f"/registry/minions/n{number:03}" for number in range(250)] + ["/registry/namespaces/app"])
    host.write_record({"backup": NAME, "step": "restored"})
    assert etcd.scrubbed(member, None, NAME, [])["changed"]
    assert len(member.keys) == 251
    member.limit = 1
    with pytest.raises(BackupError, match="cut off"):
        etcd.scrubbed(member, member, NAME, [])
    assert len(member.keys) == 151
    member.limit = 1000
    result = etcd.scrubbed(member, member, NAME, [])
    assert list(member.keys) == ["/registry/namespaces/app"]
    assert (result["changed"], len(result["gone"])) == (True, 250)
    again = etcd.scrubbed(member, member, NAME, [])
    assert again == {**result, "changed": False}


def test_only_the_data_of_this_restore_is_scrubbed() -> None:
    member: Any = Etcd(["/registry/minions/n1"])
    with pytest.raises(BackupError, match="is of no restore, wanted"):
        etcd.scrubbed(member, member, NAME, [])
    assert member.keys
    # In check mode it has not begun, whatever was restored before.
    assert etcd.scrubbed(member, None, NAME, [])["changed"] is False
    host.write_record({"backup": "another", "step": "done"})
    assert etcd.scrubbed(member, None, NAME, [])["changed"] is False


def test_what_is_left_is_seen_from_the_record_of_this_backup(etc: Path) -> None:
    assert etcd.progress(NAME, str(etc)) == ({}, ["place", "start", "scrub"])
    record = {"backup": NAME, "step": "placing", "ids": ["1"]}
    host.write_record(record)
    assert etcd.progress(NAME, str(etc)) == (record, ["place", "start", "scrub"])
    assert etcd.progress("another", str(etc)) == ({}, ["place", "start", "scrub"])


def test_one_restore_at_a_time(monkeypatch: pytest.MonkeyPatch, etc: Path) -> None:
    monkeypatch.setattr(host, "LOCK", etc / "lock")
    with host.locked(1, check_mode=True):
        assert not host.LOCK.exists()
    with host.locked(1), pytest.raises(BackupError, match="another restore has held"), host.locked(0):
        pass
    with host.locked(0):
        pass


def test_what_is_announced_is_kept_whatever_comes_next(etc: Path) -> None:
    assert etcd.begin(NAME, "latest", "demo", check_mode=True)
    assert not host.RECORD.exists()
    assert etcd.begin(NAME, "latest", "demo", check_mode=False)
    assert json.loads(host.RECORD.read_text())["step"] == "begun"
    assert etcd.progress(NAME, str(etc)) == (json.loads(host.RECORD.read_text()), ["place", "start", "scrub"])
    host.write_record({"backup": NAME, "step": "placing"})
    assert not etcd.begin(NAME, "latest", "demo", check_mode=False)
    assert etcd.begin("another", "latest", "demo", check_mode=False)


def test_the_end_is_recorded_once() -> None:
    host.write_record({"backup": NAME, "step": "scrubbed"})
    assert etcd.finish(NAME, check_mode=True)
    assert etcd.finish(NAME, check_mode=False)
    assert json.loads(host.RECORD.read_text())["step"] == "done"
    assert not etcd.finish(NAME, check_mode=False)
    assert not etcd.finish("another", check_mode=False)
