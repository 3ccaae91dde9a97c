# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores etcd on one host, as a cluster of one member, and takes out what belonged to machines that are gone."""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._backup import commands, memory, restore, scrub, seal
from .._backup.errors import BackupError
from .._backup.etcd import Etcd, status_of
from .._etcd.client import Gateway
from .._etcd.converge import Convergence, Waiter
from .._etcd.local import LocalMember
from .._etcd.planner import Consents
from . import host

STAGING = ".restoring"
# Clients that outlive the restore must never see a revision again that meant something else: more than anybody writes
# between a backup and its restore.
BUMP = 1_000_000_000
# etcd's own limit for the operations in a transaction is 128.
_OPERATIONS = 100


@dataclass
class Restore:
    """The restore on one host. `backup`, `wanted`: see `restore.plan`. `expected`: revision, hash, keys, db_bytes.

    `done` names the steps that were carried out.
    """

    local: LocalMember
    gateway: Gateway
    waiter: Waiter
    peer_url: str
    cluster: str
    backup: str
    wanted: str
    expected: dict[str, int]
    sealed: Path
    key: Path
    replace: bool
    timeout: float
    done: list[str] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.local.data_dir

    def run(self) -> None:
        record, steps = progress(self.backup, str(self.data_dir))
        if "place" in steps:
            self._place(record)
            self.done.append("place")
        if "start" in steps:
            self._start()
            self.done.append("start")

    def _place(self, record: dict[str, Any]) -> None:
        record = {**record, "backup": self.backup, "wanted": self.wanted, "cluster": self.cluster}
        survivor = self.backup == restore.SURVIVOR
        if host.data_ids(str(self.data_dir)):
            if not self.replace:
                raise BackupError(f"{self.data_dir} holds data of etcd, which is not touched without consent")
            # Found again after an interruption: the data of a survivor is the source of its restore.
            record = {**record, "step": restore.ASIDE, "source": str(set_aside(self.local))}
            host.write_record(record)
        self.local.stop()
        if (self.data_dir / "member").exists():
            # Directories that a start which failed left behind.
            self.local.set_data_aside()
        staging = self.data_dir / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        if survivor:
            # etcd was stopped, so that all it had applied is in the file. It has no checksum of its own.
            self._restore(str(Path(str(record["source"]), "snap", "db")), staging, ["--skip-hash-check"])
        else:
            with memory.anonymous("snapshot") as (writer, plain):
                seal.unseal_into(str(self.sealed), writer, str(self.key), self.timeout)
                self._check(plain)
                self._restore(plain, staging, [])
        record = {**record, "step": restore.PLACING, "ids": host.data_ids(str(staging))}
        host.write_record(record)
        (staging / "member").rename(self.data_dir / "member")
        staging.rmdir()
        host.write_record({**record, "step": restore.RESTORED})

    def _check(self, plain: str) -> None:
        status = asdict(status_of(plain, self.timeout))
        wrong = [
            f"{what} {status[what]}, wanted {wanted}"
            for what, wanted in self.expected.items()
            if status[what] != wanted
        ]
        if wrong:
            raise BackupError(f"the snapshot that arrived is not the one that was verified: {'; '.join(wrong)}")

    def _restore(self, source: str, staging: Path, flags: Sequence[str]) -> None:
        """As a cluster of one. Its ID comes from the token: never the same again, so no old member can mix with it."""
        arguments = [
            *("etcdutl", "snapshot", "restore", source, f"--data-dir={staging}", f"--name={self.local.name}"),
            *(f"--initial-cluster={self.local.name}={self.peer_url}", f"--initial-advertise-peer-urls={self.peer_url}"),
            *(f"--initial-cluster-token={self.cluster}-{secrets.token_hex(8)}", f"--bump-revision={BUMP}"),
            *("--mark-compacted", *flags),
        ]
        commands.run(arguments, self.timeout)
        for path in (staging, *staging.rglob("*")):
            shutil.chown(path, "etcd", "etcd")

    def _start(self) -> None:
        self.local.clear_first_start()
        self.local.enable()
        self.local.start()
        Convergence(
            local=self.local,
            gateway=self.gateway,
            hosts={},
            wanted={self.local.name: self.peer_url},
            consents=Consents(self.cluster),
            waiter=self.waiter,
        ).prove()


def progress(backup: str, data_dir: str) -> tuple[dict[str, Any], list[str]]:
    """Return the record of this restore, empty when there is none, and the steps that are left."""
    record = host.read_json(host.RECORD)
    if record.get("backup") != backup or record.get("step") == restore.DONE:
        record = {}
    return record, restore.next_steps(record, host.data_ids(data_dir))


def begin(backup: str, wanted: str, cluster: str, check_mode: bool) -> bool:
    """Record that a living cluster is about to be rolled back. False when it is recorded already.

    From here on another run knows that what it sees half taken apart is to become this backup, and no longer asks a
    cluster that cannot answer for a backup of its present.
    """
    record = host.read_json(host.RECORD)
    if record.get("backup") == backup and record.get("step") not in (None, restore.DONE):
        return False
    if not check_mode:
        host.write_record({"backup": backup, "wanted": wanted, "cluster": cluster, "step": restore.BEGUN})
    return True


def set_aside(local: LocalMember) -> Path:
    """Stop etcd and move its data aside, never delete it. Returns where the data is.

    That it was a member stays on record: a run of site.yml between this and the restore's end is refused for it, and
    makes no empty cluster in place of the one that is coming back.
    """
    aside = local.set_data_aside()
    local.clear_first_start()
    return aside


def scrubbed(etcd: Etcd, gateway: Gateway | None, backup: str, stay: Collection[str]) -> dict[str, Any]:
    """Delete what belonged to machines that are gone, unless it was done; returns what the record keeps of it.

    Without a gateway it is only said what would be deleted, and a restore that has not begun is no error.
    """
    record = host.read_json(host.RECORD)
    if gateway is None and record.get("backup") != backup:
        return {"changed": False, "deleted": {}, "gone": [], "lost": [], "workloads": []}
    if record.get("backup") != backup:
        raise BackupError(f"the record {host.RECORD} is of {record.get('backup') or 'no restore'}, wanted {backup}")
    if record.get("step") in (restore.SCRUBBED, restore.DONE):
        return {"changed": False, **record["scrub"]}
    plan = scrub.plan(_entries(etcd), stay)
    found = scrub.to_plain(plan)
    if gateway is None:
        return {"changed": bool(plan.keys), **found}
    # What was deleted before an interruption is in no plan any more, but has to be told of.
    earlier = record.get("scrub") or {}
    found["lost"] = sorted({*earlier.get("lost", []), *plan.lost})
    found["gone"] = sorted({*earlier.get("gone", []), *plan.gone})
    found["deleted"] = {**scrub.summary(plan), **earlier.get("deleted", {})}
    if earlier:
        found["workloads"] = earlier["workloads"]
    host.write_record({**record, "scrub": found})
    for begin in range(0, len(plan.keys), _OPERATIONS):
        keys = plan.keys[begin : begin + _OPERATIONS]
        operations = [{"requestDeleteRange": {"key": base64.b64encode(key.encode()).decode()}} for key in keys]
        gateway.call(gateway.local, "POST", "/v3/kv/txn", {"success": operations})
    host.write_record({**record, "step": restore.SCRUBBED, "scrub": found})
    return {"changed": bool(plan.keys), **found}


def _entries(etcd: Etcd) -> Iterator[tuple[str, bytes]]:
    yield from etcd.walk(etcd.revision())


def finish(backup: str, check_mode: bool) -> bool:
    """Record that the restore came to its end. False when it was recorded already."""
    record = host.read_json(host.RECORD)
    if record.get("backup") != backup or record.get("step") == restore.DONE:
        return False
    if not check_mode:
        host.write_record({**record, "step": restore.DONE})
    return True
