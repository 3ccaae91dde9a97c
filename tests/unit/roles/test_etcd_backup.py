# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.config import parse
from ansible_collections.caravan.cluster.plugins.module_utils._identity.catalogue import CONTROL_PLANE, ETCD, shared_of
from rendering import HA_GROUPS, ROLES, Host

SETTINGS: dict[str, Any] = {
    "role_path": str(ROLES / "etcd_backup"),
    "etcd_backup_recipients": ["age1"],
    "etcd_backup_stores": [
        {"name": "one", "bucket": "backups", "ca": "PEM", "access_key": "node", "secret_key": "hush"},
        {"name": "two", "bucket": "backups", "prefix": "x", "ca": None},
    ],
}
APART = HA_GROUPS | {"etcd": ["cp1", "cp2"]}


@pytest.mark.parametrize(
    ("interval", "takeover", "host", "calendar"),
    [
        ("15min", 60, "cp1", "*-*-* *:0/15:00 UTC"),
        ("15min", 60, "cp3", "*-*-* *:2/15:00 UTC"),
        ("5min", 45, "cp2", "*-*-* *:0/5:45 UTC"),
        ("1h", 90, "cp2", "*-*-* 0/1:01:30 UTC"),
        ("24h", 3600, "cp3", "*-*-* 2:00:00 UTC"),
    ],
)
def test_members_have_their_turns(interval: str, takeover: int, host: str, calendar: str) -> None:
    settings = {"etcd_backup_interval": interval, "etcd_backup_takeover": takeover}
    assert Host("etcd_backup", host, **SETTINGS, **settings).value("__etcd_backup_calendar") == calendar


def test_the_program_can_read_its_configuration(tmp_path: Any) -> None:
    member = parse(Host("etcd_backup", "cp2", **SETTINGS).value("__etcd_backup_config"), tmp_path)
    assert (member.cluster, member.member, member.interval) == ("demo", "cp2", 900)
    assert [(store.name, store.prefix, bool(store.ca_file)) for store in member.stores] == [
        ("one", "", True),
        ("two", "x", False),
    ]
    assert set(member.parts) == {ETCD, CONTROL_PLANE}
    other = parse(Host("etcd_backup", "cp3", groups=APART, **SETTINGS).value("__etcd_backup_config"), tmp_path)
    assert (other.member, set(other.parts)) == ("", {CONTROL_PLANE})


def test_the_identity_is_all_that_hosts_hold_in_common() -> None:
    listed = Host("etcd_backup", "cp1", **SETTINGS).value("__etcd_backup_identity")
    assert {part: sorted(paths) for part, paths in listed.items()} == {
        part: sorted(file.path for file in shared_of([part])) for part in (ETCD, CONTROL_PLANE)
    }


def test_the_program_is_copied_as_it_is() -> None:
    sources = sorted((ROLES.parent / "plugins" / "module_utils" / "_backup").glob("*.py"))
    files = Host("etcd_backup", "cp1", **SETTINGS).value("__etcd_backup_program_files")
    copied = {file["dest"].rpartition("/")[2]: file["content"] for file in files if "content" in file}
    assert copied == {path.name: path.read_text() for path in sources}


def test_secrets_are_in_one_file_only() -> None:
    files = Host("etcd_backup", "cp1", **SETTINGS).value("__etcd_backup_files")
    assert [file["dest"] for file in files if "hush" in str(file)] == ["/etc/caravan/backup/rclone.conf"]
    (secret,) = [file for file in files if file.get("secret")]
    assert (secret["dest"], secret["mode"]) == ("/etc/caravan/backup/rclone.conf", "0600")


@pytest.mark.parametrize(("name", "verb"), [("caravan-etcd-backup", "run"), ("caravan-etcd-backup-now", "now")])
def test_a_snapshot_in_the_clear_is_in_memory_only(name: str, verb: str) -> None:
    text = Host("etcd_backup", "cp1", **SETTINGS).template(f"{name}.service.j2")
    assert f"ExecStart=/usr/local/sbin/caravan-backup {verb}\n" in text
    assert "TemporaryFileSystem=/var/lib/caravan/backup/work:size=50%,mode=0700" in text
    assert text.startswith("# Managed")
