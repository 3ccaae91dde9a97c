# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pruning a real S3 server, by the program of backup hosts and by the module."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import manifest, prune
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import StoreError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.manifest import SnapshotManifest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.names import (
    IdentityName,
    SnapshotName,
    format_time,
)
from ansible_collections.caravan.cluster.plugins.module_utils._backup.retention import Policy
from ansible_collections.caravan.cluster.plugins.module_utils._backup.stores import Store, rclone_config
from object_store_server import Keys, ObjectStore

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
FEW = Policy(last=2, hourly=0, daily=0, weekly=0, monthly=0)


@dataclass
class Site:
    """A bucket with backups in it."""

    server: ObjectStore
    directory: Path
    bucket: str

    def store(self, keys: Keys, name: str = "main") -> Store:
        settings = self.server.settings(name, self.bucket, keys, prefix="site")
        configuration = self.directory / f"rclone-{keys.access}.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(rclone_config([settings]))
        return Store(
            name=name,
            bucket=self.bucket,
            config=str(configuration),
            prefix="site",
            ca_file=str(self.server.ca_file),
            timeout=30,
            idle_timeout=5,
        )

    def put(self, key: str, data: bytes) -> None:
        self.server.client(self.server.writer).put_object(Bucket=self.bucket, Key=f"site/{key}", Body=data)

    def snapshot(self, age: datetime.timedelta, bundle: str = "") -> str:
        name = SnapshotName(NOW - age, 1000, "3.6.8", "cp1", "demo")
        data = name.key.encode()
        self.put(name.key, data)
        said = SnapshotManifest(
            cluster="demo",
            key=name.key,
            time=format_time(name.time),
            member="cp1",
            etcd_version="3.6.8",
            cluster_id="1",
            revision=1000,
            hash=1,
            keys=1,
            db_bytes=1000,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            counts={},
            identity={"etcd": bundle} if bundle else {},
            recipients=[],
        )
        self.put(name.manifest_key, manifest.dump(said))
        return name.key

    def bundle(self, age: datetime.timedelta, digest: str) -> str:
        name = IdentityName(NOW - age, "etcd", digest * 16, "demo")
        self.put(name.key, b"sealed")
        self.put(name.manifest_key, b"{}")
        return name.key

    def versions(self) -> list[str]:
        """The keys of all that is stored, older versions and marks of deletion included."""
        answer = self.server.client(self.server.keeper).list_object_versions(Bucket=self.bucket)
        return sorted(each["Key"] for kind in ("Versions", "DeleteMarkers") for each in answer.get(kind, []))

    def prune(
        self,
        policy: Policy = FEW,
        dry_run: bool = False,
        keys: Keys | None = None,
        now: datetime.datetime = NOW,
    ) -> prune.Result:
        return prune.prune(self.store(keys or self.server.keeper), "demo", policy, now, dry_run)


@pytest.fixture
def site(object_store: ObjectStore, tmp_path: Path) -> Site:
    return Site(object_store, tmp_path, object_store.bucket("backups"))


def both(*keys: str) -> list[str]:
    return sorted(f"site/{key}{suffix}" for key in keys for suffix in ("", ".json"))


def test_what_is_no_longer_wanted_is_gone_for_good(site: Site) -> None:
    suspect_bundle, old_bundle, bundle = (
        site.bundle(age * DAY, digest) for age, digest in ((90, "a"), (80, "b"), (70, "c"))
    )
    suspect = site.snapshot(60 * DAY, suspect_bundle)
    old = site.snapshot(50 * DAY, old_bundle)
    kept = [site.snapshot(age * DAY, bundle) for age in (3, 1)]
    site.put(suspect, b"written over")
    site.put("demo/etcd/notes.txt", b"not ours")
    site.put("demo2/etcd/x", b"another cluster's")
    before = site.versions()

    shown = site.prune(dry_run=True)
    assert shown.good and shown.removed == [] and site.versions() == before
    assert {unit.key for unit in shown.plan.going} == {old, old_bundle}
    assert shown.plan.foreign == ["demo/etcd/notes.txt"]
    # Something is wrong with this one: it is kept for someone to look at, with all that it takes to open it.
    assert [unit.key for unit in shown.plan.units if unit.overwritten] == [suspect]

    done = site.prune()
    assert done.good and sorted(done.removed) == sorted([old, old_bundle])
    others = ["site/demo/etcd/notes.txt", "site/demo2/etcd/x", f"site/{suspect}"]
    assert site.versions() == sorted([*both(suspect, suspect_bundle, bundle, *kept), *others])
    assert site.prune().removed == []


def test_the_newest_verified_one_stays_whatever_is_asked(site: Site) -> None:
    verified = site.snapshot(40 * DAY)
    gone = site.snapshot(50 * DAY)
    unfinished = SnapshotName(NOW - DAY * 2, 2000, "3.6.8", "cp2", "demo")
    site.put(unfinished.key, b"no manifest")
    done = site.prune(Policy(last=0, hourly=0, daily=0, weekly=0, monthly=0))
    assert done.good
    assert sorted(done.removed) == sorted([gone, unfinished.key])
    assert site.versions() == both(verified)


def test_what_others_deleted_can_be_brought_back_and_goes_later(site: Site) -> None:
    newest, deleted = site.snapshot(DAY), site.snapshot(50 * DAY)
    site.store(site.server.keeper).delete(deleted)
    before = site.versions()
    shown = site.prune(replace(FEW, last=1))
    assert shown.good and site.versions() == before
    assert "can still be brought back" in shown.plan.staying[0].reasons[0]
    done = site.prune(replace(FEW, last=1), now=NOW + 8 * DAY)
    assert (done.error, done.removed) == ("", [deleted])
    assert site.versions() == both(newest)


def test_a_lock_is_honoured_and_reported(site: Site) -> None:
    site.snapshot(DAY)
    old = [site.snapshot(age * DAY) for age in (9, 8)]
    locking = Policy(last=9, lock_days=10)
    assert site.prune(locking, dry_run=True).locked == site.prune(locking).locked != []
    assert site.prune(locking).locked == []

    done = site.prune(Policy(last=1, hourly=0, daily=0, weekly=0, monthly=0))
    assert done.good and done.removed == []
    reasons = {unit.key: unit.reasons for unit in done.plan.staying}
    assert all(reasons[key][0].startswith("kept by lock until ") for key in old)
    # And it is the server that keeps it: not even this user's own client can remove it.
    keeper = site.server.client(site.server.keeper)
    held = keeper.list_object_versions(Bucket=site.bucket, Prefix=f"site/{old[0]}")["Versions"]
    with pytest.raises(Exception, match="object lock"):
        keeper.delete_object(Bucket=site.bucket, Key=held[0]["Key"], VersionId=held[0]["VersionId"])


def test_a_lock_is_made_longer_in_its_own_mode(site: Site) -> None:
    key = f"site/{site.snapshot(DAY)}"
    keeper = site.server.client(site.server.keeper)
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)
    keeper.put_object_retention(Bucket=site.bucket, Key=key, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": soon})
    assert site.prune(Policy(last=9, lock_days=10)).good
    retention = keeper.get_object_retention(Bucket=site.bucket, Key=key)["Retention"]
    assert retention["Mode"] == "COMPLIANCE" and retention["RetainUntilDate"] == NOW + 9 * DAY


def test_the_lock_of_a_bucket_is_honoured(site: Site) -> None:
    site.bucket = site.server.bucket("held", retention=("COMPLIANCE", 1))
    kept = [site.snapshot(DAY), site.snapshot(50 * DAY)]
    done = site.prune(Policy(last=1, hourly=0, daily=0, weekly=0, monthly=0))
    assert done.good and done.removed == []
    assert [unit.reasons for unit in done.plan.staying] == [["kept by the bucket's lock"], ["newest", "last"][:1]]
    assert site.versions() == both(*kept)


def test_a_writer_cannot_prune(site: Site) -> None:
    site.snapshot(DAY)
    site.snapshot(50 * DAY)
    before = site.versions()
    refused = site.prune(keys=site.server.writer)
    assert not refused.good and "AccessDenied" in refused.error
    assert site.versions() == before
    with pytest.raises(StoreError, match="AccessDenied"):
        site.store(site.server.writer).delete(before[0].removeprefix("site/"))
    assert site.versions() == before


def test_a_bucket_without_versions_is_pruned_too(site: Site) -> None:
    site.bucket = site.server.bucket("plain", versioning=False, lock=False)
    kept, gone = site.snapshot(DAY), site.snapshot(50 * DAY)
    done = site.prune(Policy(last=1, hourly=0, daily=0, weekly=0, monthly=0))
    assert (done.error, done.removed) == ("", [gone])
    assert site.versions() == both(kept)


def test_a_server_that_does_not_answer_is_said_soon(site: Site) -> None:
    site.snapshot(DAY)
    site.server.freeze()
    failed = site.prune()
    assert not failed.good and "store main" in failed.error


def test_the_program_of_backup_hosts(site: Site, tmp_path: Path) -> None:
    """As it is deployed: the package alone, with its configuration beside it."""
    newest, gone = site.snapshot(DAY), site.snapshot(50 * DAY)
    library, etc = tmp_path / "library", tmp_path / "etc"
    library.mkdir()
    etc.mkdir()
    (library / "caravan_backup").symlink_to(Path(prune.__file__).parent)
    (etc / "rclone.conf").write_text(
        rclone_config([site.server.settings("main", site.bucket, site.server.keeper, "site")])
    )
    (etc / "ca-main.pem").write_text(site.server.ca)
    document = {
        "cluster": "demo",
        "node": "backup1",
        "stores": [{"name": "main", "bucket": site.bucket, "prefix": "site", "has_ca": True}],
        "state": str(tmp_path / "state"),
        "metrics": str(tmp_path / "metrics"),
        "prune": {"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0},
    }
    (etc / "keeper.json").write_text(json.dumps(document))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "caravan_backup", "prune", "--config", str(etc / "keeper.json"), *arguments],
            env={**os.environ, "PYTHONPATH": str(library)},
            capture_output=True,
            text=True,
            check=False,
        )

    shown = run("--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert f"would go  {gone.partition('/')[2]}  (no longer wanted)" in shown.stdout
    assert run().returncode == 0
    assert site.versions() == both(newest)
    metrics = (tmp_path / "metrics" / "caravan_etcd_prune.prom").read_text()
    assert 'caravan_etcd_prune_success{cluster="demo",store="main"} 1' in metrics
    assert 'caravan_etcd_prune_snapshots{cluster="demo",store="main"} 1' in metrics
    report = json.loads((tmp_path / "state" / "prune.json").read_text())
    assert report["stores"][0]["removed"] == [gone.partition("/")[2]]

    site.server.stop()
    failed = run()
    assert failed.returncode == 1 and "FAILED" in failed.stdout
    assert (
        'caravan_etcd_prune_success{cluster="demo",store="main"} 0'
        in (tmp_path / "metrics" / "caravan_etcd_prune.prom").read_text()
    )


def test_the_module_shows_what_would_go_and_then_removes_it(site: Site, tmp_path: Path) -> None:
    newest, gone = site.snapshot(DAY), site.snapshot(50 * DAY)
    arguments: dict[str, Any] = {
        "cluster_name": "demo",
        "stores": [site.server.settings("main", site.bucket, site.server.keeper, "site")],
        "retention": {"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0},
    }
    before = site.versions()
    (expected,) = run_module(tmp_path, "caravan.cluster.etcd_backup_prune", [arguments], "--check", "--diff")
    assert expected["changed"] and site.versions() == before
    assert f"main: {gone}\n" in expected["diff"]["before"] and f"main: {gone}\n" not in expected["diff"]["after"]
    wrong = {**arguments, "stores": [{**arguments["stores"][0], "secret_key": site.server.writer.secret}]}
    done, again, refused = run_module(tmp_path, "caravan.cluster.etcd_backup_prune", [arguments, arguments, wrong])
    assert done["changed"] and site.versions() == both(newest)
    assert not again["changed"]
    assert site.server.keeper.secret not in json.dumps([expected, done, again])
    assert refused["failed"] and "SignatureDoesNotMatch" in refused["msg"]


def run_module(directory: Path, module: str, arguments: list[dict[str, Any]], *options: str) -> list[dict[str, Any]]:
    """Tasks of Ansible on this machine, one for each of the arguments; all run, also after one that fails."""
    book = directory / "play.yml"
    tasks = [{"name": "task", module: each, "ignore_errors": True} for each in arguments]
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    collections = Path(__file__).resolve().parents[3] / ".caravan" / "collections"
    configuration = directory / "ansible.cfg"
    configuration.write_text(f"[defaults]\ncollections_path = {collections}\nstdout_callback = ansible.posix.json\n")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), str(book), *options],
        env={**os.environ, "ANSIBLE_CONFIG": str(configuration)},
        capture_output=True,
        text=True,
        check=False,
    )
    shown = json.loads(done.stdout[done.stdout.index("{") :])
    return [dict(task["hosts"]["localhost"]) for task in shown["plays"][0]["tasks"]]
