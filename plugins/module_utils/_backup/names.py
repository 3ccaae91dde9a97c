# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of objects in a store. Pure.

Names sort by time and say what an operator with nothing but a bucket listing has to know:

    <cluster>/etcd/20261121T110400Z_r000000012345_v3.6.8_cp1.db.zst.age        the snapshot
    <cluster>/etcd/20261121T110400Z_r000000012345_v3.6.8_cp1.db.zst.age.json   its manifest: written last
    <cluster>/identity/20261121T110400Z_control_plane_0123456789abcdef.tar.age

Only what has a manifest is a backup: the manifest is written after the object was read back and compared.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

MANIFEST = ".json"
_TIME = "%Y%m%dT%H%M%SZ"
_SNAPSHOT = re.compile(
    r"(?P<cluster>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)/etcd/(?P<time>\d{8}T\d{6}Z)_r(?P<revision>\d{12,})"
    r"_v(?P<version>\d+\.\d+\.\d+[0-9a-z.+-]*)_(?P<member>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)\.db\.zst\.age"
)
_IDENTITY = re.compile(
    r"(?P<cluster>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)/identity/(?P<time>\d{8}T\d{6}Z)_(?P<part>etcd|control_plane)"
    r"_(?P<digest>[0-9a-f]{16})\.tar\.age"
)


def format_time(moment: datetime.datetime) -> str:
    """Return a moment as names have it: UTC, whole seconds."""
    return moment.astimezone(datetime.timezone.utc).strftime(_TIME)


def parse_time(text: str) -> datetime.datetime:
    """Return the moment, in UTC. ValueError for anything else."""
    return datetime.datetime.strptime(text, _TIME).replace(tzinfo=datetime.timezone.utc)


@dataclass(frozen=True, order=True)
class SnapshotName:
    """The name of a snapshot. Sorts by time. `time` is aware, in UTC, whole seconds; `member` took it."""

    time: datetime.datetime
    revision: int
    etcd_version: str
    member: str
    cluster: str

    @property
    def key(self) -> str:
        stem = f"{format_time(self.time)}_r{self.revision:012d}_v{self.etcd_version}_{self.member}"
        return f"{self.cluster}/etcd/{stem}.db.zst.age"

    @property
    def manifest_key(self) -> str:
        return self.key + MANIFEST

    @property
    def short(self) -> str:
        """What an operator types: the key without cluster and suffixes."""
        return self.key.split("/")[-1][: -len(".db.zst.age")]


@dataclass(frozen=True, order=True)
class IdentityName:
    """The name of one part of the identity bundle. `digest`: the first 16 digits of the SHA-256 of its contents."""

    time: datetime.datetime
    part: str
    digest: str
    cluster: str

    @property
    def key(self) -> str:
        return f"{self.cluster}/identity/{format_time(self.time)}_{self.part}_{self.digest}.tar.age"

    @property
    def manifest_key(self) -> str:
        return self.key + MANIFEST


def parse_snapshot(key: str) -> SnapshotName | None:
    """Return what a key (of the object or of its manifest) says; None when it is no snapshot's."""
    found = _SNAPSHOT.fullmatch(key[: -len(MANIFEST)] if key.endswith(MANIFEST) else key)
    if found is None:
        return None
    try:
        moment = parse_time(found["time"])
    except ValueError:
        return None
    return SnapshotName(moment, int(found["revision"]), found["version"], found["member"], found["cluster"])


def parse_identity(key: str) -> IdentityName | None:
    """Return what a key (of the object or of its manifest) says; None when it is no identity bundle's."""
    found = _IDENTITY.fullmatch(key[: -len(MANIFEST)] if key.endswith(MANIFEST) else key)
    if found is None:
        return None
    try:
        moment = parse_time(found["time"])
    except ValueError:
        return None
    return IdentityName(moment, found["part"], found["digest"], found["cluster"])
