# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One etcd member, by its HTTP gateway and by etcd's own programs."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import commands
from .errors import BackupError, CommandError
from .registry import OTHER, ROOT, resource_of

CORRUPT = "CORRUPT"
NO_SPACE = "NOSPACE"
# Keys for the first call of a walk, and for any; then as many as come to about so many bytes.
_FIRST_PAGE, _LONGEST_PAGE, _PAGE_BYTES = 50, 2000, 8 << 20


class EtcdError(BackupError):
    """A member did not answer, or refused."""


@dataclass(frozen=True)
class Member:
    """What a member says of itself. `alarms`: (ID of the member it is about, 0 where that is not known; alarm)."""

    member_id: int
    cluster_id: int
    version: str
    leader: int
    learner: bool
    db_bytes: int
    reads: bool
    why_not: str
    alarms: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Status:
    """What `etcdutl snapshot status` says of a snapshot. `keys` includes old revisions of keys."""

    revision: int
    hash: int
    keys: int
    db_bytes: int


def unfit(member: Member) -> str:
    """Return why a member must not be the one that snapshots; nothing when it may. Pure.

    A member that is out of space is no worse a source: that is when a backup is wanted before anything is repaired.
    """
    if not member.reads:
        return f"a linearizable read through it fails ({member.why_not})"
    if member.learner:
        return "it is a learner"
    if any(alarm == CORRUPT and about in (0, member.member_id) for about, alarm in member.alarms):
        return f"its data has the alarm {CORRUPT}"
    return ""


@dataclass(frozen=True)
class Etcd:
    """How to reach a member. A throw-away member, which listens on a Unix socket, has no certificates.

    `timeout`: seconds for one answer.
    """

    url: str
    ca: str = ""
    certificate: str = ""
    key: str = ""
    timeout: float = 5.0

    def look(self) -> Member:
        """Return what the member says of itself. EtcdError when it does not answer at all."""
        status = self._call("/v3/maintenance/status", {})
        alarms = self._call("/v3/maintenance/alarm", {"action": "GET"}).get("alarms", [])
        why_not = ""
        try:
            self._range(b"health", limit=1)
        except EtcdError as error:
            why_not = str(error)
        return Member(
            member_id=int(status["header"]["member_id"]),
            cluster_id=int(status["header"]["cluster_id"]),
            version=str(status["version"]),
            leader=int(status.get("leader", 0)),
            learner=bool(status.get("isLearner", False)),
            db_bytes=int(status.get("dbSize", 0)),
            reads=not why_not,
            why_not=why_not,
            alarms=tuple((int(alarm.get("memberID", 0)), str(alarm.get("alarm", ""))) for alarm in alarms),
        )

    def counts(self, revision: int = 0) -> dict[str, int]:
        """Return the number of keys of each resource at a revision (0: now); a call or two for each resource.

        A revision that this member has is counted by it alone, whatever the others do.

        The keys that no API server wrote are counted together.
        """
        found: dict[str, int] = {}
        key, end = f"{ROOT}/".encode(), f"{ROOT}0".encode()
        while True:
            answer = self._range(key, end, revision, limit=1, keys_only=True)
            if not answer.get("kvs"):
                break
            first = base64.b64decode(answer["kvs"][0]["key"])
            resource = resource_of(first.decode(errors="surrogateescape")).encode(errors="surrogateescape")
            if not first.startswith(resource + b"/"):
                found[resource.decode(errors="replace")] = 1
                key = first + b"\x00"
                continue
            # "0" is the character after "/".
            number = self._range(resource + b"/", resource + b"0", revision, count_only=True).get("count", 0)
            name = resource.decode(errors="replace")
            found[name] = found.get(name, 0) + int(number)
            key = resource + b"0"
        total = int(self._range(b"\x00", b"\x00", revision, count_only=True).get("count", 0))
        if total > sum(found.values()):
            found[OTHER] = total - sum(found.values())
        return dict(sorted(found.items()))

    def revision(self) -> int:
        """Return the revision the member is at."""
        return int(self._range(b"\x00", limit=1)["header"]["revision"])

    def walk(self, revision: int) -> Iterator[tuple[str, bytes]]:
        """Return (key, value) of all keys at a revision, a few MiB for each call."""
        key, limit = b"\x00", _FIRST_PAGE
        while True:
            answer = self._range(key, b"\x00", revision, limit=limit)
            entries = answer.get("kvs", [])
            total = 1
            for entry in entries:
                last, value = base64.b64decode(entry["key"]), base64.b64decode(entry.get("value", ""))
                total += len(value)
                yield last.decode(errors="replace"), value
            if not answer.get("more") or not entries:
                return
            key = last + b"\x00"
            limit = max(1, min(_LONGEST_PAGE, _PAGE_BYTES * len(entries) // total))

    def snapshot(self, path: str, timeout: float) -> None:
        """Save a snapshot, which etcd checks on the way, into a file that must not exist yet."""
        credentials = {
            "ETCDCTL_CACERT": self.ca,
            "ETCDCTL_CERT": self.certificate,
            "ETCDCTL_KEY": self.key,
        }
        commands.run(
            ["etcdctl", "snapshot", "save", path, f"--endpoints={self.url}", "--dial-timeout=5s"],
            timeout,
            {name: value for name, value in credentials.items() if value},
        )

    def _range(
        self,
        key: bytes,
        end: bytes = b"",
        revision: int = 0,
        **more: Any,
    ) -> dict[str, Any]:
        # What a member has of a revision never changes: no need to ask the others.
        body = {
            "key": _text(key),
            "range_end": _text(end),
            "revision": str(revision),
            "serializable": revision > 0,
            **more,
        }
        return self._call("/v3/kv/range", {name: value for name, value in body.items() if value})

    def _connection(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url)
        if address.scheme == "unix":
            return _UnixConnection(address.path, self.timeout)
        if address.scheme == "http":
            return http.client.HTTPConnection(address.hostname or "", address.port, timeout=self.timeout)
        context = ssl.create_default_context(cafile=self.ca or None)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return http.client.HTTPSConnection(address.hostname or "", address.port, timeout=self.timeout, context=context)

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            connection = self._connection()
            try:
                connection.request("POST", path, json.dumps(body))
                answer = connection.getresponse()
                text = answer.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise EtcdError(f"etcd at {self.url} does not answer: {error or type(error).__name__}") from error
        try:
            document = json.loads(text)
        except ValueError as error:
            raise EtcdError(f"etcd at {self.url} answered {answer.status}: {text[:200]!r}") from error
        if answer.status != 200:
            raise EtcdError(f"etcd at {self.url} refuses: {document.get('message', document)}")
        return dict(document)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def status_of(path: str, timeout: float) -> Status:
    """Verify a snapshot file and return what is in it. BackupError when it is none, or damaged."""
    try:
        document = json.loads(commands.run(["etcdutl", "snapshot", "status", path, "--write-out=json"], timeout))
        return Status(
            int(document["revision"]), int(document["hash"]), int(document["totalKey"]), int(document["totalSize"])
        )
    except CommandError as error:
        raise BackupError(f"this is no whole etcd snapshot: {error}") from error
    except (ValueError, KeyError) as error:
        raise BackupError(f"etcdutl says nothing of the snapshot that can be read: {error}") from error


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
