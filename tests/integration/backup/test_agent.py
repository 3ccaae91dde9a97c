# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent against a real etcd cluster, two real S3 servers, real age, zstd and rclone, and what can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_scene import BUCKET, CLUSTER, NAMES, Cluster, Host
from ansible.module_utils.testing import patch_module_args
from ansible_collections.caravan.cluster.plugins.module_utils._backup import identity, seal
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError, StoreError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.etcd import status_of
from ansible_collections.caravan.cluster.plugins.modules import etcd_snapshot, etcd_snapshot_info
from built_programs import programs
from drill_scene import ETCD, Key, new_key
from object_store_server import ObjectStore, running

PODS = 50
MakeHost = Callable[..., Host]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("etcd"))
    try:
        made.start(*NAMES)
        made.fill(PODS)
        yield made
    finally:
        made.stop()


@pytest.fixture
def whole(cluster: Cluster) -> Cluster:
    """The cluster with all its members, whatever the test before did."""
    missing = [name for name in NAMES if name not in cluster.processes]
    if missing:
        cluster.start(*missing)
    cluster.wait_until_healthy(*NAMES)
    return cluster


@pytest.fixture(autouse=True)
def programs_of_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{programs('etcd', ETCD)}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return new_key(tmp_path_factory.mktemp("age") / "key")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[ObjectStore, ObjectStore]]:
    with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        for server in (one, two):
            server.bucket(BUCKET)
        yield one, two


@contextmanager
def memory(path: Path, megabytes: int = 64) -> Iterator[None]:
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def host(tmp_path: Path, whole: Cluster, key: Key, servers: tuple[ObjectStore, ObjectStore]) -> Iterator[MakeHost]:
    """Makes hosts. Each has a work directory in memory."""
    with memory(tmp_path / "hosts"):

        def make(name: str, recipient: str = key.recipient) -> Host:
            made = Host(tmp_path / "hosts" / name, whole, name, [recipient])
            made.use(one=servers[0], two=servers[1])
            return made

        yield make


def opened(host: Host, store: str, key: Key, directory: Path) -> Path:
    """The newest snapshot of a store in the clear."""
    newest = next(backup for backup in host.listing().backups if store in backup.stores)
    source = next(each for each in host.stores() if each.name == store)
    source.get(newest.name.key, str(directory / "sealed"))
    seal.unseal(str(directory / "sealed"), str(directory / "snapshot.db"), str(key.file), 30)
    return directory / "snapshot.db"


def test_a_backup_is_taken_once_in_an_interval(host: MakeHost, key: Key, tmp_path: Path) -> None:
    first, second = host("cp1"), host("cp2")
    code, said = first.run("run")
    assert code == 0, said
    code, said = second.run("run")
    assert code == 0 and "its newest backup is of" in said, said

    (backup,) = first.listing().backups
    assert (sorted(backup.stores), backup.manifest.member) == (["one", "two"], "cp1")
    assert backup.manifest.counts["/registry/pods"] == PODS
    assert (backup.manifest.etcd_version, backup.manifest.recipients) == (ETCD, [key.recipient])
    assert list(backup.manifest.identity) == ["etcd"]
    # It can be opened, and is the snapshot that its manifest tells of.
    snapshot = opened(first, "two", key, tmp_path)
    status = status_of(str(snapshot), 30)
    assert (status.revision, status.hash, status.keys) == (
        backup.manifest.revision,
        backup.manifest.hash,
        backup.manifest.keys,
    )
    subprocess.run(
        [programs("etcd", ETCD) / "etcdutl", "snapshot", "restore", snapshot, "--data-dir", tmp_path / "restored"],
        check=True,
        capture_output=True,
    )
    for seen in (first, second):
        assert seen.metric("failures_total", store="one") == 0
        assert time.time() - seen.metric("last_success_timestamp_seconds", store="two") < 60
    assert not list(first.work.iterdir())
    assert first.metrics_file.stat().st_mode & 0o777 == 0o644

    # `now` asks nobody, and the identity is stored again only when it changes.
    code, said = second.run("now")
    assert code == 0 and "identity" not in said, said
    assert len(first.held("one")) == 2
    second.identity.write_text("another key")
    code, said = second.run("run")
    assert code == 0 and "stored the part etcd of the identity" in said, said
    # A restore puts the old one back: it is the newest again, or what is backed up from now on has the wrong one.
    second.identity.write_text(first.identity.read_text())
    code, said = second.run("run")
    assert code == 0 and "stored the part etcd of the identity" in said, said
    code, said = second.run("run")
    assert code == 0 and "identity" not in said, said


def test_the_next_member_takes_over(host: MakeHost, whole: Cluster) -> None:
    dead, other = host("cp3"), host("cp2")
    dead.document["patience"] = 2
    whole.kill("cp3")
    code, said = dead.run("run")
    assert code == 1 and "does not take the backup that is due" in said and "does not answer" in said, said
    assert dead.metric("failures_total", store="one") == 1 and not dead.held("one")
    code, said = other.run("run")
    assert code == 0, said
    assert len(other.held("one")) == len(other.held("two")) == 1
    # Its turn comes again: others have done it, and it has nothing to complain of.
    assert dead.run("run")[0] == 0
    assert dead.metric("failures_total", store="one") == 1


def test_a_host_without_a_member_stores_its_part_of_the_identity(host: MakeHost) -> None:
    one = host("cp1")
    one.document |= {"member": "", "parts": {"control_plane": [str(one.identity)]}}
    code, said = one.run("run")
    assert code == 0 and "stored the part control_plane of the identity" in said, said
    assert not one.listing().backups
    assert host("cp2").run("run")[0] == 0
    assert set(one.listing().backups[0].manifest.identity) == {"control_plane", "etcd"}
    # A file of it is gone: that is said, and nothing that is not whole is stored.
    one.identity.unlink()
    code, said = one.run("run")
    assert code == 1 and "the identity is not whole" in said, said


def test_a_change_of_leader_is_no_matter(host: MakeHost, whole: Cluster) -> None:
    old = whole.leader()
    taking = host(old)
    process = taking.start("now")
    whole.move_leader()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert len(taking.held("one")) == 1


def test_a_frozen_store_does_not_keep_the_other_from_its_backup(
    host: MakeHost, servers: tuple[ObjectStore, ObjectStore]
) -> None:
    one = host("cp1")
    one.give_up_soon("one")
    servers[0].freeze()
    code, said = one.run("run")
    assert code == 1 and "store one: rclone lsjson took more than 4 s" in said, said
    assert [one.metric("failures_total", store=name) for name in ("one", "two")] == [1, 0]
    servers[0].thaw()
    assert (len(one.held("one")), len(one.held("two"))) == (0, 1)
    # The next one gives the store what it lacks, and the other one nothing.
    code, said = host("cp2").run("run")
    assert code == 0, said
    assert (len(one.held("one")), len(one.held("two"))) == (1, 1)


def test_a_store_that_freezes_during_the_upload(
    host: MakeHost, servers: tuple[ObjectStore, ObjectStore], tmp_path: Path
) -> None:
    """And a run that is killed then: what it leaves is no backup, and does not stand in the way."""
    one = host("cp1")
    one.give_up_soon("one")
    # age, which seals after everything was looked at, waits until it may.
    gate = tmp_path / "gate"
    gate.mkdir()
    age = gate / "age"
    age.write_text(
        f"#!/bin/sh\n: > {gate}/reached\nwhile [ ! -e {gate}/open ]; do sleep 0.05; done\n"
        f'exec {shutil.which("age")} "$@"\n'
    )
    age.chmod(0o755)
    (gate / "open").touch()
    assert one.run("run")[0] == 0  # the identity is there
    (gate / "open").unlink()
    process = one.start("now", pace=str(gate))
    wait_for(gate / "reached")
    servers[0].freeze()
    (gate / "open").touch()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "store one: rclone copyto" in said, said
    servers[0].thaw()
    one.use(one=servers[0], two=servers[1])
    assert (len(one.held("one")), len(one.held("two"))) == (1, 2)

    (gate / "open").unlink()
    (gate / "reached").unlink()
    process = one.start("now", pace=str(gate))
    wait_for(gate / "reached")
    assert list(one.work.iterdir())
    # Two runs on a host never overlap.
    code, said = one.run("run")
    assert code == 0 and "another run on this host is under way" in said, said
    process.kill()
    process.wait()
    (gate / "open").touch()
    process.communicate(timeout=30)
    assert (len(one.held("one")), len(one.held("two"))) == (1, 2)
    assert one.run("now")[0] == 0
    assert not list(one.work.iterdir())
    assert (len(one.held("one")), len(one.held("two"))) == (2, 3)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.02)


def test_what_was_not_finished_is_not_listed(host: MakeHost, key: Key, tmp_path: Path) -> None:
    one = host("cp1")
    store = one.stores()[0]
    half = f"{CLUSTER}/etcd/20260101T000000Z_r000000000001_v{ETCD}_cp1.db.zst.age"
    (tmp_path / "half").write_bytes(b"half")
    store.put(str(tmp_path / "half"), half)
    assert one.run("run")[0] == 0
    assert len(one.held("one")) == 1 and len(store.list(f"{CLUSTER}/etcd")) == 3


def test_a_node_may_not_delete(host: MakeHost) -> None:
    one = host("cp1")
    assert one.run("run")[0] == 0
    for store in one.stores():
        for entry in store.list(CLUSTER):
            with pytest.raises(StoreError, match="AccessDenied"):
                store.delete(entry.key)
    assert len(one.held("one")) == len(one.held("two")) == 1


def test_a_store_whose_authority_is_not_known(host: MakeHost, servers: tuple[ObjectStore, ObjectStore]) -> None:
    one = host("cp1")
    (one.directory / "ca-one.pem").write_text(servers[1].ca)
    code, said = one.run("run")
    assert code == 1 and "certificate signed by unknown authority" in said, said
    assert len(one.held("two")) == 1


def answer_of(module: Any, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    with patch_module_args({}), pytest.raises(SystemExit):
        module.main()
    return dict(json.loads(capsys.readouterr().out))


def test_the_modules_look_at_the_stores(
    host: MakeHost,
    servers: tuple[ObjectStore, ObjectStore],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = host("cp1")
    assert one.run("run")[0] == 0
    program = one.directory / "caravan-backup"
    program.write_text(
        f"#!/bin/sh\nPYTHONPATH={one.directory}/lib exec {sys.executable} -m caravan_backup"
        f' --config={one.directory}/config.json "$@"\n'
    )
    program.chmod(0o755)
    for module in (etcd_snapshot, etcd_snapshot_info):
        monkeypatch.setattr(module, "PROGRAM", str(program))

    listed = answer_of(etcd_snapshot_info, capsys)
    (snapshot,) = listed["snapshots"]
    assert (snapshot["verified"], snapshot["stores"], snapshot["member"]) == (True, ["one", "two"], "cp1")
    assert listed["errors"] == {} and not listed["changed"]

    (one.directory / "ca-one.pem").write_text(servers[1].ca)
    listed = answer_of(etcd_snapshot_info, capsys)
    assert list(listed["errors"]) == ["one"] and listed["snapshots"][0]["stores"] == ["two"]
    (one.directory / "ca-two.pem").write_text(servers[0].ca)
    assert answer_of(etcd_snapshot_info, capsys)["failed"]
    refused = answer_of(etcd_snapshot, capsys)
    assert refused["failed"] and refused["fit"] and "unknown authority" in refused["msg"]


def test_a_bucket_that_is_not_there(host: MakeHost) -> None:
    one = host("cp1")
    one.document["stores"][0]["bucket"] = "another"
    code, said = one.run("run")
    assert code == 1 and "there is no bucket another" in said, said


def test_a_full_store_and_full_memory(host: MakeHost, tmp_path: Path) -> None:
    one = host("cp1")
    with running(tmp_path / "small", megabytes=24) as small:
        small.bucket(BUCKET)
        one.use(one=small)
        small.fill_disk()
        code, said = one.run("run")
        assert code == 1 and "store one: rclone" in said, said
        assert not one.held("one")
        small.empty_disk()
        with (one.directory / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError):
            while True:
                ballast.write(b"\0" * 4096)
        code, said = one.run("now")
        assert code == 1 and ("change etcd_backup_memory" in said or "No space left" in said), said
        (one.directory / "ballast").unlink()
        assert not one.held("one") and not list(one.work.iterdir())
        assert one.run("run")[0] == 0
        assert len(one.held("one")) == 1


def test_a_work_directory_on_a_disk_is_refused(host: MakeHost, tmp_path: Path) -> None:
    one = host("cp1")
    (tmp_path / "disk").mkdir()
    one.document["work"] = str(tmp_path / "disk")
    code, said = one.run("now")
    assert code == 1 and "is on a disk" in said and "wanted a tmpfs" in said, said
    assert not one.listing().backups


def test_recipients_that_were_rotated(host: MakeHost, key: Key, tmp_path: Path) -> None:
    """New backups open with the new key only, and older ones with the old."""
    new = new_key(tmp_path / "new")
    assert host("cp1").run("run")[0] == 0
    old_one = host("cp1").listing().backups[0]
    taking = host("cp2", new.recipient)
    assert taking.run("now")[0] == 0
    newest = taking.listing().backups[0]
    assert newest.manifest.recipients == [new.recipient]
    # So is the identity, which has not changed.
    parts = [newest.manifest.identity["etcd"], old_one.manifest.identity["etcd"]]
    assert len(set(parts)) == 2
    bundle = seal.decrypt(taking.stores()[0].read(parts[0]), str(new.file), 30)
    assert identity.unpack(bundle).settings["cluster"] == CLUSTER
    assert "identity" not in taking.run("run")[1]
    store = taking.stores()[0]
    for name, right, wrong in ((old_one.name, key, new), (newest.name, new, key)):
        sealed, target = tmp_path / name.short, tmp_path / f"{name.short}.db"
        store.get(name.key, str(sealed))
        with pytest.raises(BackupError, match="other recipients"):
            seal.unseal(str(sealed), str(target), str(wrong.file), 30)
        seal.unseal(str(sealed), str(target), str(right.file), 30)


def test_a_backup_of_another_cluster_of_the_same_name_does_not_count(host: MakeHost, tmp_path: Path) -> None:
    one = host("cp1")
    assert one.run("run")[0] == 0
    store, listed = one.stores()[0], one.listing().backups[0]
    changed = json.loads(store.read(listed.name.manifest_key)) | {"cluster_id": "1"}
    (tmp_path / "manifest").write_text(json.dumps(changed))
    store.put(str(tmp_path / "manifest"), listed.name.manifest_key)
    code, said = host("cp2").run("run")
    assert code == 0 and "store one: its newest backup is of the etcd cluster 1" in said, said
    assert (len(one.held("one")), len(one.held("two"))) == (2, 1)
