# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent decides, and what it leaves to be seen."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import (
    agent,
    config,
    memory,
    metrics,
    report,
    seal,
)
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.etcd import Member, unfit
from ansible_collections.caravan.cluster.plugins.module_utils._backup.stores import rclone_config
from ansible_collections.caravan.cluster.plugins.modules import etcd_snapshot

UTC = datetime.timezone.utc
WELL = Member(1, 815, "3.6.8", 2, learner=False, db_bytes=4096, reads=True, why_not="")
DOCUMENT: dict[str, Any] = {
    "cluster": "prod",
    "node": "cp1",
    "member": "cp1",
    "interval": 900,
    "recipients": ["age1"],
    "stores": [{"name": "one", "bucket": "backups", "has_ca": True}, {"name": "two", "bucket": "b", "prefix": "/x/"}],
    "etcd": {"url": "https://127.0.0.1:2379"},
    "parts": {},
    "settings": {},
    "work": "/work",
    "state": "/state",
    "metrics": "/metrics",
    "snapshot_timeout": 60,
    "patience": 0,
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"leader": 1}, ""),
        ({"alarms": ((1, "NOSPACE"),)}, ""),
        ({"alarms": ((2, "CORRUPT"),)}, ""),
        ({"alarms": ((1, "CORRUPT"),)}, "its data has the alarm CORRUPT"),
        ({"alarms": ((0, "CORRUPT"),)}, "its data has the alarm CORRUPT"),
        ({"learner": True}, "it is a learner"),
        ({"reads": False, "why_not": "no leader"}, "a linearizable read through it fails (no leader)"),
    ],
)
def test_who_may_be_backed_up(changes: dict[str, Any], why: str) -> None:
    assert unfit(dataclasses.replace(WELL, **changes)) == why


@pytest.mark.parametrize(("interval", "hour", "minute"), [(900, 13, 30), (3600, 13, 0), (14400, 12, 0), (86400, 0, 0)])
def test_intervals_begin_at_the_same_time_everywhere(interval: int, hour: int, minute: int) -> None:
    now = datetime.datetime(2026, 11, 21, 13, 42, 5, tzinfo=UTC)
    east = now.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
    start = datetime.datetime(2026, 11, 21, hour, minute, tzinfo=UTC)
    assert agent.slot_start(now, interval) == agent.slot_start(east, interval) == start


def test_the_configuration_is_read() -> None:
    read = config.parse(DOCUMENT, Path("/etc/caravan/backup"))
    assert [(store.name, store.prefix, store.ca_file) for store in read.stores] == [
        ("one", "", "/etc/caravan/backup/ca-one.pem"),
        ("two", "x", ""),
    ]


@pytest.mark.parametrize("text", ["", "{", "{}", '{"cluster": "prod"}'])
def test_a_configuration_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(config.ConfigError, match=r"config\.json"):
        config.load(tmp_path / "config.json")


def result(**stores: agent.StoreResult) -> agent.Result:
    return agent.Result("prod", dict(stores))


def measured(before: metrics.Metrics, outcome: agent.Result) -> str:
    settings = config.parse(DOCUMENT, Path("/etc/caravan/backup"))
    return report.measured(settings, outcome, before, datetime.datetime.fromtimestamp(1000, UTC)).text()


def test_metrics_go_on_from_those_before(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "x.prom"
    taken = agent.StoreResult(taken=True, newest="k", time="19700101T001500Z", bytes=5, seconds=1.5)
    failed = agent.StoreResult(error="store two: no")
    for _ in range(2):
        before = metrics.read(path, report.DESCRIBED)
        measured(before, result(one=taken, two=failed))
        metrics.write(path, before)
    text = path.read_text()
    labels = '{cluster="prod",store="%s"}'
    assert f"caravan_etcd_backup_failures_total{labels % 'two'} 2\n" in text
    assert f"caravan_etcd_backup_failures_total{labels % 'one'} 0\n" in text
    assert f"caravan_etcd_backup_last_success_timestamp_seconds{labels % 'one'} 900\n" in text
    assert f"timestamp_seconds{labels % 'two'}" not in text
    assert path.stat().st_mode & 0o777 == 0o644 and len(list(path.parent.iterdir())) == 1


def test_what_is_known_of_a_store_stays_when_it_cannot_be_read() -> None:
    known = agent.StoreResult(newest="k", time="19700101T001500Z", bytes=5)
    before = metrics.Metrics(report.DESCRIBED)
    measured(before, result(one=known, two=known))
    text = measured(before, result(one=known, two=agent.StoreResult(error="no")))
    assert text.count("last_success_timestamp_seconds{") == 2


def test_a_store_that_is_gone_has_no_metrics() -> None:
    before = metrics.Metrics(report.DESCRIBED)
    before.add("caravan_etcd_backup_failures_total", 3, cluster="prod", store="old")
    assert 'store="old"' not in measured(before, result(one=agent.StoreResult(), two=agent.StoreResult()))


def test_labels_are_read_as_they_were_written(tmp_path: Path) -> None:
    described = {"m": ("gauge", "Of a test.")}
    written = metrics.Metrics(described)
    written.put("m", 1.25, store='a"b\\c\nd')
    metrics.write(tmp_path / "m", written)
    assert metrics.read(tmp_path / "m", described).samples == written.samples


MOUNTS = """\
22 1 0:20 / / rw shared:1 - ext4 /dev/vda rw
23 22 0:21 / /run rw - tmpfs tmpfs rw
24 23 0:22 / /run/disk\\040one rw - ext4 /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/run", "tmpfs"), ("/run/x", "tmpfs"), ("/running", "ext4"), ("/run/disk one/x", "ext4"), ("/var", "ext4")],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert memory.file_system(path, MOUNTS) == kind


def test_a_snapshot_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="change etcd_backup_memory"):
        memory.require_room(tmp_path, 1 << 60)


GOOD = "age12mm8sqc6ew9h4808n43q2spy8stz9ujx47zrq68dz6a7465u2ahqnufwed"


@pytest.mark.parametrize("recipient", [GOOD, "ssh-ed25519 AAAA user@host", "age1yubikey1qqqqqqqqqqqqqq"])
def test_recipients_that_age_takes(recipient: str) -> None:
    seal.check_recipients([recipient])


@pytest.mark.parametrize("recipient", [GOOD[:-1] + "q", GOOD.upper(), GOOD[:-1], "age1", "me@example.org"])
def test_recipients_that_age_does_not_take(recipient: str) -> None:
    with pytest.raises(BackupError, match="no age recipient"):
        seal.check_recipients([recipient])


def test_a_private_key_is_not_shown() -> None:
    with pytest.raises(BackupError) as caught:
        seal.check_recipients(["AGE-SECRET-KEY-1QQQQ"])
    assert "private key" in str(caught.value) and "QQQQ" not in str(caught.value)


def test_the_configuration_of_rclone() -> None:
    text = rclone_config(
        [
            {"name": "one", "endpoint": "https://s3", "bucket": "b", "access_key": "a", "secret_key": "s"},
            {"name": "two", "provider": "AWS", "region": "eu-central-1", "bucket": "b"},
        ]
    )
    assert "[one]\ntype = s3\nprovider = Other\nendpoint = https://s3\naccess_key_id = a\nsecret_access_key = s" in text
    assert "[two]\ntype = s3\nprovider = AWS\nregion = eu-central-1\nenv_auth = true" in text
    with pytest.raises(BackupError, match="wanted lower-case letters"):
        rclone_config([{"name": "a]\n[b", "bucket": "b"}])


@pytest.mark.parametrize(
    ("wanted", "stores", "lacking", "words"),
    [
        (False, {"one": agent.StoreResult()}, False, []),
        (True, {"one": agent.StoreResult()}, True, []),
        (False, {"one": agent.StoreResult(identity={"etcd": ""})}, True, []),
        (True, {"one": agent.StoreResult(error="no"), "two": agent.StoreResult()}, True, ["no", "unfit"]),
    ],
)
def test_what_the_module_makes_of_a_result(
    wanted: bool, stores: dict[str, agent.StoreResult], lacking: bool, words: list[str]
) -> None:
    plain = agent.Result("prod", stores, wanted=wanted, error="unfit" if words else "").plain()
    assert etcd_snapshot.is_lacking(plain) is lacking
    assert etcd_snapshot.failures(plain) == words
    assert etcd_snapshot.reached(plain)
