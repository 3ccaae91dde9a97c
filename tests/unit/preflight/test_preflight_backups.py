# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that cannot be meant are refused before anything is done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._preflight import backups
from ansible_collections.caravan.cluster.plugins.module_utils._preflight.problem import Problem

GOOD = "age12mm8sqc6ew9h4808n43q2spy8stz9ujx47zrq68dz6a7465u2ahqnufwed"
PRIVATE = "AGE-SECRET-KEY-1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
STORE = {
    "name": "main",
    "endpoint": "https://s3.example.org",
    "bucket": "backups",
    "access_key": "node",
    "secret_key": "hush",
    "ca": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
}


def problems(members: int = 1, store: dict[str, Any] | None = None, **changes: Any) -> list[Problem]:
    values = {
        "etcd_backup_enabled": True,
        "etcd_backup_stores": [STORE | (store or {})],
        "etcd_backup_recipients": [GOOD],
        "etcd_backup_interval": "15min",
        "etcd_backup_takeover": 60,
        **changes,
    }
    hosts = [f"cp{number}" for number in range(1, members + 1)]
    return list(backups.check(hosts, ["cp9"], dict.fromkeys([*hosts, "cp9"], values)))


def test_good_settings_pass() -> None:
    assert problems(5) == []
    assert problems(store={"endpoint": None, "provider": "AWS", "ca": None, "access_key": "", "secret_key": ""}) == []


def test_what_is_not_enabled_is_not_looked_at() -> None:
    assert problems(etcd_backup_enabled=False, etcd_backup_stores=[], etcd_backup_recipients=[PRIVATE]) == []


@pytest.mark.parametrize(
    ("changes", "seen", "change"),
    [
        ({"etcd_backup_stores": []}, "etcd_backup_stores is empty", "etcd_backup_stores or etcd_backup_enabled"),
        ({"etcd_backup_recipients": []}, "recipients is empty", "etcd_backup_recipients or etcd_backup_enabled"),
        ({"etcd_backup_recipients": [GOOD, PRIVATE]}, "[1] is a private key", "etcd_backup_recipients[1]"),
        ({"etcd_backup_recipients": [GOOD[:-1] + "q"]}, "[0] is '", "etcd_backup_recipients[0]"),
        ({"store": {"name": "Main store"}}, "name is 'Main store'", "etcd_backup_stores[0].name"),
        ({"etcd_backup_stores": [STORE, STORE]}, "two stores are called 'main'", "etcd_backup_stores[1].name"),
        ({"store": {"bucket": "My_Bucket"}}, "bucket is 'My_Bucket'", "etcd_backup_stores[0].bucket"),
        ({"store": {"endpoint": "http://s3.example.org"}}, "is 'http://s3", "etcd_backup_stores[0].endpoint"),
        ({"store": {"endpoint": ""}}, "endpoint is empty", "etcd_backup_stores[0].endpoint"),
        ({"store": {"secret_key": ""}}, "secret_key is empty", "etcd_backup_stores[0].secret_key"),
        ({"store": {"ca": "/etc/ssl/ca.pem"}}, "ca holds no certificate", "etcd_backup_stores[0].ca"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], seen: str, change: str) -> None:
    found = problems(**changes)
    assert {problem.host for problem in found} == {"cp1", "cp9"}
    for problem in found:
        assert seen in problem.seen and problem.change == change
        assert PRIVATE not in str(problem) and "hush" not in str(problem)


@pytest.mark.parametrize(
    ("members", "interval", "takeover", "good"),
    [
        (3, "5min", 60, True),
        (5, "5min", 60, True),
        (5, "5min", 61, False),
        (1, "5min", 300, True),
        (3, "1h", 1200, True),
        (3, "1h", 1201, False),
        (1, "1h", 0, False),
    ],
)
def test_every_member_has_its_turn_in_an_interval(members: int, interval: str, takeover: int, good: bool) -> None:
    found = problems(members, etcd_backup_interval=interval, etcd_backup_takeover=takeover)
    assert [problem.change for problem in found] == [] if good else ["etcd_backup_takeover or etcd_backup_interval"]
