# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a drill, each with what it passes and what it says."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import drill, drill_verb, metrics
from ansible_collections.caravan.cluster.plugins.module_utils._backup.config import ConfigError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.manifest import SnapshotManifest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.names import IdentityName, SnapshotName
from ansible_collections.caravan.cluster.plugins.module_utils._backup.stores import Store
from ansible_collections.caravan.cluster.plugins.modules import etcd_drill

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.timezone.utc)
MINUTE = datetime.timedelta(minutes=1)
NAME = SnapshotName(NOW - 10 * MINUTE, 12345, "3.6.8", "cp1", "harbour")
BUNDLE = IdentityName(NOW - 60 * MINUTE, "etcd", "0123456789abcdef", "harbour")
MANIFEST = SnapshotManifest(
    cluster="harbour",
    key=NAME.key,
    time="20261121T115000Z",
    member="cp1",
    etcd_version="3.6.8",
    cluster_id="cafe",
    revision=12345,
    hash=0xABCD,
    keys=99,
    db_bytes=4096,
    bytes=1000,
    sha256="a" * 64,
    counts={"/registry/pods": 2},
    identity={},
    recipients=[],
)


def keys(*names: SnapshotName, manifests: bool = True) -> list[str]:
    return [key for name in names for key in ([name.key, name.manifest_key] if manifests else [name.key])]


def test_the_newest_verified_backup_is_chosen() -> None:
    older = replace(NAME, time=NOW - 60 * MINUTE)
    stray = replace(NAME, time=NOW - 5 * MINUTE)
    listed = [*keys(older, NAME), *keys(stray, manifests=False), BUNDLE.key, BUNDLE.manifest_key, "harbour/readme"]
    choice = drill.choose(listed)
    assert choice == drill.Choice(NAME, (stray,), (BUNDLE,))
    assert drill.choose(listed, older.short).newest == older
    assert drill.choose(listed, "20261121T1100").newest == older
    assert drill.choose(listed, "2025").newest is None
    assert drill.choose([]).newest is None


def test_a_manifest_without_its_object_is_a_backup_that_lost_it() -> None:
    """The check of the object says so: choosing an older one would hide it."""
    assert drill.choose([NAME.manifest_key]).newest == NAME


@pytest.mark.parametrize(
    ("age", "state", "words"),
    [
        (10 * MINUTE, drill.PASSED, "it is 10 min old"),
        (60 * MINUTE, drill.PASSED, "it is 60 min old"),
        (61 * MINUTE, drill.FAILED, "the newest backup is 61 min old, wanted at most 60 min"),
        (3000 * MINUTE, drill.FAILED, "the newest backup is 2.1 d old, wanted at most 60 min"),
        (-MINUTE, drill.PASSED, "it is 0 s old"),
        (-10 * MINUTE, drill.FAILED, "the newest backup is from 10 min in the future: a clock is wrong"),
    ],
)
def test_age(age: datetime.timedelta, state: str, words: str) -> None:
    check = drill.check_age(replace(NAME, time=NOW - age), NOW, 60 * MINUTE)
    assert (check.state, check.text) == (state, words)


@pytest.mark.parametrize(
    ("stray", "state"),
    [
        (20 * MINUTE, drill.PASSED),  # older than the newest backup
        (5 * MINUTE, drill.FAILED),  # it would have been the newest, and nobody uploads it any more
        (MINUTE, drill.PASSED),  # under way
    ],
)
def test_stray(stray: datetime.timedelta, state: str) -> None:
    choice = drill.Choice(NAME, (replace(NAME, time=NOW - stray),), ())
    assert drill.check_stray(choice, NOW, 2 * MINUTE).state == state


def test_no_stray() -> None:
    assert drill.check_stray(drill.Choice(NAME, (), ()), NOW, MINUTE).text == "every snapshot has its manifest"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": "lagoon"}, "it is a backup of the cluster lagoon, wanted harbour"),
        ({"revision": 1}, "the manifest and the object's name differ: revision 1, named 12345"),
        ({"etcd_version": "3.6.9", "member": "cp2"}, "etcd version 3.6.9, named 3.6.8; member cp2, named cp1"),
    ],
)
def test_manifest(changes: dict[str, Any], words: str) -> None:
    assert drill.check_manifest(MANIFEST, NAME, "harbour").state == drill.PASSED
    check = drill.check_manifest(replace(MANIFEST, **changes), NAME, "harbour")
    assert check.state == drill.FAILED
    assert words in check.text


@pytest.mark.parametrize(
    ("backup", "installed", "state"),
    [
        ("3.6.8", "3.6.8", drill.PASSED),
        ("3.6.9", "3.6.8", drill.PASSED),
        ("3.5.21", "3.6.8", drill.PASSED),
        ("3.7.0", "3.6.8", drill.FAILED),
        ("3.10.0", "3.9.1", drill.FAILED),
        ("4.0.0", "3.6.8", drill.FAILED),
    ],
)
def test_version(backup: str, installed: str, state: str) -> None:
    assert drill.check_version(backup, installed).state == state


@pytest.mark.parametrize(
    ("size", "sha256", "words"),
    [
        (0, "b" * 64, "the object is empty, wanted 1000 bytes"),
        (999, "b" * 64, "the object is truncated: 999 bytes, wanted 1000"),
        (1001, "b" * 64, "the object is too long: 1001 bytes, wanted 1000"),
        (1000, "b" * 64, "the object is not what was uploaded: SHA-256 bbbbbbbbbbbbbbbb…, wanted aaaaaaaaaaaaaaaa…"),
    ],
)
def test_object(size: int, sha256: str, words: str) -> None:
    assert drill.check_object(MANIFEST, 1000, "a" * 64).state == drill.PASSED
    assert drill.check_object(MANIFEST, size, sha256).text == words


def test_snapshot() -> None:
    assert drill.check_snapshot(MANIFEST, 12345, 0xABCD, 99, 4096).state == drill.PASSED
    check = drill.check_snapshot(MANIFEST, 12344, 0xABCD, 98, 4096)
    assert check.state == drill.FAILED
    assert check.text.endswith("revision 12344, wanted 12345; number of keys 98, wanted 99")


def test_counts() -> None:
    live = {f"/registry/r{number}": number for number in range(1, 8)}
    assert drill.check_counts(live, live).text == "28 objects of 7 resources, as in the live cluster"
    assert drill.check_counts(live, {}).state == drill.FAILED
    check = drill.check_counts({**live, "/registry/new": 1}, {**live, "/registry/r1": 5})
    assert check.text == ("other numbers than in the live cluster: 1 /registry/new, wanted 0; 1 /registry/r1, wanted 5")
    assert drill.check_counts({}, live).text.endswith("and 2 more")


def test_secrets() -> None:
    assert drill.check_secrets({"key2": 3, "key1": 1}, 4, 0, "").text == (
        "4 Secrets; 4 encrypted values open (1 under key1, 3 under key2)"
    )
    assert drill.check_secrets({}, 2, 0, "") == drill.Check("secrets", drill.PASSED, "2 Secrets; none is encrypted")
    assert drill.check_secrets({"key1": 1}, 2, 1, "no") == drill.Check("secrets", drill.FAILED, "no")
    assert drill.check_secrets({"key1": 1}, 2, 3, "no").text == "no, and 2 more"


def test_authorities() -> None:
    ours, theirs, next_one = b"ours", b"theirs", b"next"
    fine = {"CA": (frozenset({ours}), frozenset({ours}))}
    assert drill.check_authorities(fine).state == drill.PASSED
    replaced = {"CA": (frozenset({ours, next_one}), frozenset({next_one}))}
    assert drill.check_authorities(replaced).state == drill.PASSED
    other = drill.check_authorities({"CA": (frozenset({theirs}), frozenset({ours}))})
    assert other.text == "the identity bundle is of another cluster: not its CA"
    unsaid = drill.check_authorities({"CA": (frozenset(), frozenset({ours}))})
    assert unsaid.text == "the snapshot does not say what the cluster's CA is"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"cluster": "harbour", "endpoint": "api.harbour:6443"}, "the snapshot is of the cluster harbour"),
        ({"cluster": "harbour", "other": "x"}, "the snapshot is of the cluster harbour"),
        ({"cluster": "lagoon"}, "the snapshot is not this cluster's: cluster lagoon, wanted harbour"),
        ({"cluster": "harbour", "endpoint": "other:6443"}, "endpoint other, wanted api.harbour"),
        ({}, "the snapshot does not say of which cluster it is (ConfigMap kubeadm-config)"),
    ],
)
def test_settings(seen: dict[str, str], words: str) -> None:
    assert words in drill.check_settings(seen, {"cluster": "harbour", "endpoint": "api.harbour"}).text


def test_api_server() -> None:
    account = "system:serviceaccount:kube-system:default"
    assert drill.check_api_server(3, 3, account).state == drill.PASSED
    assert drill.check_api_server(2, 3, account).text == "an API server reads 2 Secrets, wanted 3"
    assert drill.check_api_server(3, 3, "somebody").state == drill.FAILED


def test_what_depends_on_a_failure_is_skipped() -> None:
    checks = [drill.passed("store", ""), drill.failed("backup", "")]
    check = drill.blocked("age", checks)
    assert check is not None
    assert (check.state, check.text) == (drill.SKIPPED, "not reached, because of: backup")
    assert drill.blocked("stray", checks) is None


def test_every_check_depends_on_earlier_ones() -> None:
    seen: set[str] = set()
    for name, needs in drill.CHECKS.items():
        assert set(needs) <= seen, name
        seen.add(name)


def report(*checks: drill.Check) -> dict[str, Any]:
    store = drill.StoreReport("main", list(checks), backup=NAME.short, time="20261121T115000Z", seconds={"store": 1.5})
    return drill.document("harbour", "b1", NOW, [store])


def test_the_report_is_json_and_says_its_verdict() -> None:
    good = json.loads(json.dumps(report(drill.passed("store", "fine"), drill.Check("age", drill.SKIPPED, ""))))
    assert (good["verdict"], good["stores"][0]["verdict"], good["started"]) == ("passed", "passed", "20261121T120000Z")
    bad = report(drill.passed("store", "fine"), drill.failed("age", "too old"))
    assert bad["verdict"] == "failed"
    assert drill.summary(bad) == [f"main: failed, {NAME.short}, 1.5 s", "  age: too old"]
    assert "  passed   store        fine" in drill.text(bad)
    assert drill.document("harbour", "b1", NOW, [])["verdict"] == "failed", "nothing was proven"
    assert report()["verdict"] == "failed"
    assert drill.summary({}) == ["no drill has been made yet"]


def test_metrics() -> None:
    samples = metrics.Metrics(drill.METRICS)
    drill.measure(samples, report(drill.failed("age", "too old")), NOW)
    lines = samples.text().splitlines()
    labels = 'cluster="harbour",store="main"'
    assert f"caravan_etcd_drill_success{{{labels}}} 0" in lines
    assert f"caravan_etcd_drill_failed_checks{{{labels}}} 1" in lines
    assert f"caravan_etcd_drill_timestamp_seconds{{{labels}}} {int(NOW.timestamp())}" in lines
    assert f"caravan_etcd_drill_backup_timestamp_seconds{{{labels}}} {int((NOW - 10 * MINUTE).timestamp())}" in lines


def configuration(tmp_path: Path, **changes: Any) -> Path:
    document = {
        "cluster": "harbour",
        "node": "b1",
        "identity_file": "/etc/caravan/backup/identity",
        "work": "/run/caravan-drill",
        "state": str(tmp_path),
        "metrics": str(tmp_path),
        "stores": [{"name": "main", "bucket": "backups", "prefix": "/a/", "has_ca": True}],
        "drill": {"max_age": 3600, "grace": 60, "timeout": 5, "api_server": False},
        **changes,
    }
    path = tmp_path / "keeper.json"
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    return path


def test_configuration(tmp_path: Path) -> None:
    keeper = drill_verb.load(configuration(tmp_path))
    assert keeper.settings.max_age == datetime.timedelta(hours=1)
    store = keeper.stores[0]
    assert (store.name, store.prefix, store.ca_file) == ("main", "a", str(tmp_path / "ca-main.pem"))


@pytest.mark.parametrize("changes", [{"cluster": None}, {"stores": [{}]}, {"drill": {}}, {"drill": 3}])
def test_a_wrong_configuration_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"keeper\.json is no configuration of a backup host"):
        drill_verb.load(configuration(tmp_path, **changes))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        drill_verb.load(tmp_path / "other.json")


def test_stores_are_chosen_by_name() -> None:
    stores = [Store("one", "b", ""), Store("two", "b", "")]
    assert drill_verb.choose(stores, []) == stores
    assert drill_verb.choose(stores, ["two"]) == stores[1:]
    with pytest.raises(BackupError, match="there is no store three; there are: one, two"):
        drill_verb.choose(stores, ["three"])


def test_the_module_knows_a_new_report(tmp_path: Path) -> None:
    assert etcd_drill.read(tmp_path / "none") == {}
    assert not etcd_drill.is_new({}, {})
    assert not etcd_drill.is_new({"started": "1"}, {"started": "1"})
    assert etcd_drill.is_new({"started": "1"}, {"started": "2"})
    assert etcd_drill.is_new({}, {"started": "2"})
