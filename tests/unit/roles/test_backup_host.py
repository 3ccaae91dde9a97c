# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import drill_verb, prune_verb, retention
from rendering import ROLES, Host

SETTINGS: dict[str, Any] = {
    "role_path": str(ROLES / "backup_host"),
    "backup_host_age_identity": "AGE-SECRET-KEY-1HUSH",
    "backup_host_retention": {"daily": 3},
    "backup_host_stores": [
        {"name": "one", "bucket": "backups", "ca": "PEM", "access_key": "keeper", "secret_key": "hush"},
        {"name": "two", "bucket": "backups", "prefix": "x", "ca": None},
    ],
}


def host(**more: Any) -> Host:
    return Host("backup_host", "cp1", **{**SETTINGS, **more})


def test_both_verbs_can_read_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "keeper.json"
    path.write_text(json.dumps(host().value("__backup_host_keeper")))
    keeper = drill_verb.load(path)
    assert (keeper.settings.cluster, keeper.settings.max_age.total_seconds()) == ("demo", 3600)
    assert [(store.name, store.prefix, bool(store.ca_file)) for store in keeper.stores] == [
        ("one", "", True),
        ("two", "x", False),
    ]
    assert prune_verb.load(path).policy == retention.Policy(daily=3)


def test_secrets_are_in_two_files_that_only_root_reads() -> None:
    files = host().value("__backup_host_files")
    assert [(file["dest"], file["mode"], file["secret"]) for file in files if "hush" in str(file).lower()] == [
        ("/etc/caravan/backup/identity", "0600", True),
        ("/etc/caravan/backup/rclone.conf", "0600", True),
    ]


@pytest.mark.parametrize("verb", ["drill", "prune"])
def test_a_service_keeps_what_it_opens_in_memory(verb: str) -> None:
    text = host().template(f"caravan-etcd-{verb}.service.j2")
    assert text.startswith("# Managed")
    assert f"ExecStart=/usr/local/sbin/caravan-backup {verb}\n" in text
    assert "TemporaryFileSystem=/run/caravan-drill:size=50%,mode=0700" in text


def test_a_host_that_does_not_prune_stops_its_timer() -> None:
    units = {unit["name"]: unit["state"] for unit in host(backup_host_prune_enabled=False).value("__backup_host_units")}
    assert units == {"caravan-etcd-drill.timer": "started", "caravan-etcd-prune.timer": "stopped"}
