# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host does when its turn comes: store its part of the identity, and a snapshot where one is wanted.

All members do the same, one after another by their timers' offsets, and go by what the stores hold: who finds that an
interval has no verified backup in a store takes it. A store that fails does not keep the others from theirs.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from . import identity, listing, manifest, memory, seal
from .config import Config
from .errors import BackupError, StoreError
from .etcd import NO_SPACE, Member, status_of, unfit
from .manifest import IdentityManifest, SnapshotManifest
from .names import IdentityName, SnapshotName, format_time
from .stores import Entry, Store

UTC = datetime.timezone.utc
Say = Callable[[str], None]


@dataclass
class StoreResult:
    """What became of one store. `newest`: the short name of its newest verified backup, `time`: when that was begun."""

    taken: bool = False
    error: str = ""
    newest: str = ""
    time: str = ""
    bytes: int = 0
    seconds: float = 0.0
    identity: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What a run did. `manifest` is that of the snapshot that was taken, if any; `wanted`: whether one was."""

    cluster: str
    stores: dict[str, StoreResult]
    wanted: bool = False
    error: str = ""
    manifest: SnapshotManifest | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.error and not any(store.error for store in self.stores.values())

    @property
    def changed(self) -> bool:
        return any(store.taken or store.identity for store in self.stores.values())

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "changed": self.changed}


@dataclass(frozen=True)
class _Snapshot:
    """A sealed snapshot in the work directory. Its manifest lacks what depends on the store."""

    path: Path
    name: SnapshotName
    manifest: SnapshotManifest


@dataclass(frozen=True)
class _Seen:
    """A store as it was found: its parts of the identity, newest first, and its newest backup of this cluster."""

    identities: list[IdentityName]
    newest: SnapshotManifest | None


def slot_start(now: datetime.datetime, interval: int) -> datetime.datetime:
    """Return when the interval began that `now` is in; they are counted from 1970. Pure."""
    return datetime.datetime.fromtimestamp(int(now.timestamp()) // interval * interval, UTC)


class Run:
    """One run. `start`: a backup begun at this time or later will do; none will when it is None."""

    def __init__(self, config: Config, start: datetime.datetime | None, say: Say) -> None:
        self.config = config
        self.start = start
        self.say = say
        self.member: Member | None = None
        self.why_unfit = "it has no etcd member"
        self.result = Result(config.cluster, {store.name: StoreResult() for store in config.stores})

    def do(self) -> Result:
        """Never raises BackupError: what went wrong is in the result."""
        began = time.monotonic()
        try:
            seal.check_recipients(self.config.recipients)
            if self.config.member:
                self._look_at_member()
            with memory.workspace(self.config.work) as directory:
                self._do(directory)
        except BackupError as error:
            self.result.error = str(error)
        except OSError as error:
            self.result.error = f"{error.filename or self.config.work}: {error.strerror}"
        self.result.seconds = round(time.monotonic() - began, 3)
        return self.result

    def foresee(self) -> Result:
        """Say what would be done, and do nothing."""
        if self.config.member:
            self._look_at_member()
        seen = self._each_store(self.config.stores, self._look_at_store)
        bundles = self._bundles()
        for name, parts in self._each_store(
            self._healthy(),
            lambda store: [
                bundle.settings["part"]
                for bundle in bundles
                if self._held(store, bundle, seen[store.name].identities) is None
            ],
        ).items():
            self.result.stores[name].identity = dict.fromkeys(parts, "")
        lacking = self._lacking()
        self.result.wanted = bool(lacking)
        for store in lacking:
            self.result.stores[store.name].taken = True
        if lacking and self.why_unfit:
            self.result.error = self.why_unfit
        return self.result

    def _do(self, directory: Path) -> None:
        seen = self._each_store(self.config.stores, self._look_at_store)
        kept: dict[str, dict[str, str]] = {}
        bundles = self._bundles()
        for name, keys in self._each_store(
            self._healthy(), lambda store: self._keep_identity(store, seen[store.name].identities, bundles, directory)
        ).items():
            kept[name] = {**{part.part: part.key for part in reversed(seen[name].identities)}, **keys}
        lacking = self._lacking()
        self.result.wanted = bool(lacking)
        if not lacking:
            return
        self._wait_for_member()
        if self.why_unfit:
            raise BackupError(f"this member does not take the backup that is due: {self.why_unfit}")
        snapshot = self._snapshot(directory)
        self.result.manifest = snapshot.manifest
        self._each_store(lacking, lambda store: self._keep_snapshot(store, snapshot, kept[store.name], directory))

    def _look_at_member(self) -> None:
        try:
            self.member = self.config.etcd.look()
        except BackupError as error:
            self.member, self.why_unfit = None, str(error)
            return
        self.why_unfit = unfit(self.member)
        if any(alarm == NO_SPACE for _, alarm in self.member.alarms):
            self.say(f"etcd has the alarm {NO_SPACE}: it refuses writes, and can be backed up")

    def _wait_for_member(self) -> None:
        """Give the member time where it does not answer: an election, or its restart, is over in a moment."""
        end = time.monotonic() + self.config.patience
        while self.config.member and (self.member is None or not self.member.reads) and time.monotonic() < end:
            time.sleep(1)
            self._look_at_member()

    def _look_at_store(self, store: Store) -> _Seen:
        entries = store.list(self.config.cluster)
        newest = self._newest(store, entries)
        if newest is not None:
            own = self.result.stores[store.name]
            own.newest, own.time, own.bytes = newest.key, newest.time, newest.bytes
        return _Seen(listing.identities(entries, self.config.cluster), newest)

    def _newest(self, store: Store, entries: list[Entry]) -> SnapshotManifest | None:
        """The newest whole backup of this very cluster. Another one may have written under the same name before."""
        backups = listing.finished(entries, self.config.cluster)
        epoch = datetime.datetime.fromtimestamp(0, UTC)
        for name in listing.since(backups, epoch, datetime.datetime.now(UTC)):
            try:
                found = manifest.load(SnapshotManifest, store.read(name.manifest_key), name.key)
            except StoreError:
                raise
            except BackupError as error:
                self.say(f"store {store.name}: {error}")
                continue
            if self.member is not None and found.cluster_id != str(self.member.cluster_id):
                self.say(
                    f"store {store.name}: its newest backup is of the etcd cluster {found.cluster_id}, this is "
                    f"{self.member.cluster_id}"
                )
                return None
            if found.bytes == backups[name]:
                return found
            self.say(f"store {store.name}: {name.short} has {backups[name]} bytes, its manifest says {found.bytes}")
        return None

    def _healthy(self) -> list[Store]:
        return [store for store in self.config.stores if not self.result.stores[store.name].error]

    def _lacking(self) -> list[Store]:
        """The stores that want a snapshot. A host without a member takes none."""
        if not self.config.member:
            return []
        limit = format_time(self.start) if self.start is not None else ""
        return [store for store in self._healthy() if not limit or self.result.stores[store.name].time < limit]

    def _bundles(self) -> list[identity.Bundle]:
        """The parts of the identity that this host holds. One that is not whole is an error, but not in the way."""
        bundles = []
        for part, paths in self.config.parts.items():
            try:
                files = {path: Path(path).read_bytes() for path in paths}
            except OSError as error:
                self.result.error = f"the identity is not whole: {error.filename}: {error.strerror}"
                continue
            settings = {**self.config.settings, "cluster": self.config.cluster, "part": part}
            bundles.append(identity.Bundle(settings, files))
        return bundles

    def _held(self, store: Store, bundle: identity.Bundle, held: list[IdentityName]) -> IdentityName | None:
        """The name under which this content is in the store, sealed to all that are recipients now.

        Not under a name from before the files were last written: what a restore puts back has to be the newest again,
        behind what replaced it in between, because a snapshot belongs to the newest of its time.
        """
        content, since = identity.digest(bundle)[:16], _written(bundle)
        for name in held:
            if (name.part, name.digest) == (bundle.settings["part"], content) and name.time >= since:
                said = manifest.load(IdentityManifest, store.read(name.manifest_key), name.key)
                if set(self.config.recipients) <= set(said.recipients):
                    return name
        return None

    def _keep_identity(
        self, store: Store, held: list[IdentityName], bundles: list[identity.Bundle], directory: Path
    ) -> dict[str, str]:
        """Store the parts that are not there; the keys of all."""
        keys = {}
        for bundle in bundles:
            present = self._held(store, bundle, held)
            if present is not None:
                keys[present.part] = present.key
                continue
            now, content = datetime.datetime.now(UTC), identity.digest(bundle)
            name = IdentityName(now, bundle.settings["part"], content[:16], self.config.cluster)
            path = directory / f"{store.name}-{name.part}.tar.age"
            path.write_bytes(seal.encrypt(identity.pack(bundle), self.config.recipients, 60))
            sha256, size = seal.sha256_of(str(path)), path.stat().st_size
            self._put(store, path, name.key, sha256)
            path.unlink()
            said = IdentityManifest(
                cluster=self.config.cluster,
                key=name.key,
                time=format_time(now),
                member=self.config.node,
                part=name.part,
                digest=content,
                bytes=size,
                sha256=sha256,
                recipients=self.config.recipients,
            )
            self._put_manifest(store, said, name.manifest_key, directory)
            self.result.stores[store.name].identity[name.part] = name.key
            keys[name.part] = name.key
            self.say(f"store {store.name}: stored the part {name.part} of the identity, {name.key}")
        return keys

    def _snapshot(self, directory: Path) -> _Snapshot:
        """Take one, verify it and seal it. Nothing of it in the clear remains."""
        member = self.member
        if member is None:
            raise BackupError(self.why_unfit)
        memory.require_room(directory, member.db_bytes)
        plain, sealed = directory / "snapshot.db", directory / "snapshot.db.zst.age"
        now = self._moment()
        timeout = self.config.snapshot_timeout
        self.config.etcd.snapshot(str(plain), timeout)
        status = status_of(str(plain), timeout)
        counts = self.config.etcd.counts(status.revision)
        seal.seal(str(plain), str(sealed), self.config.recipients, timeout)
        plain.unlink()
        name = SnapshotName(now, status.revision, member.version, self.config.member, self.config.cluster)
        return _Snapshot(
            sealed,
            name,
            SnapshotManifest(
                cluster=self.config.cluster,
                key=name.key,
                time=format_time(now),
                member=self.config.member,
                etcd_version=member.version,
                cluster_id=str(member.cluster_id),
                revision=status.revision,
                hash=status.hash,
                keys=status.keys,
                db_bytes=status.db_bytes,
                bytes=sealed.stat().st_size,
                sha256=seal.sha256_of(str(sealed)),
                counts=counts,
                identity={},
                recipients=self.config.recipients,
            ),
        )

    def _moment(self) -> datetime.datetime:
        """This second, or the next one where a backup has the name of this one: what is stored is never replaced."""
        taken = {store.time for store in self.result.stores.values()}
        while format_time(now := datetime.datetime.now(UTC).replace(microsecond=0)) in taken:
            time.sleep(0.1)
        return now

    def _keep_snapshot(self, store: Store, snapshot: _Snapshot, kept: dict[str, str], directory: Path) -> None:
        began = time.monotonic()
        self._put(store, snapshot.path, snapshot.name.key, snapshot.manifest.sha256)
        seconds = round(time.monotonic() - began, 3)
        said = replace(snapshot.manifest, identity=kept, seconds=seconds)
        self._put_manifest(store, said, snapshot.name.manifest_key, directory)
        own = self.result.stores[store.name]
        own.taken, own.newest, own.time, own.bytes, own.seconds = True, said.key, said.time, said.bytes, seconds
        self.say(f"store {store.name}: stored and read back {snapshot.name.short}, {said.bytes} bytes in {seconds} s")

    @staticmethod
    def _put(store: Store, path: Path, key: str, sha256: str) -> None:
        """Upload a file and read it back."""
        store.put(str(path), key)
        seen, size = store.digest(key)
        if seen != sha256:
            raise StoreError(
                f"store {store.name}: {key} was read back with {size} bytes and the SHA-256 {seen}, wanted {sha256}"
            )

    def _put_manifest(self, store: Store, said: SnapshotManifest | IdentityManifest, key: str, directory: Path) -> None:
        path = directory / f"{store.name}.json"
        path.write_bytes(manifest.dump(said))
        self._put(store, path, key, seal.sha256_of(str(path)))
        path.unlink()

    def _each_store(self, stores: list[Store], act: Callable[[Store], Any]) -> dict[str, Any]:
        """Do something for all stores at once. The answers by store, without those that failed."""
        answers = {}

        def attempt(store: Store) -> Any:
            try:
                return act(store)
            except BackupError as error:
                return error
            except OSError as error:
                return StoreError(f"store {store.name}: {error.filename}: {error.strerror}")

        with ThreadPoolExecutor(max_workers=max(1, len(stores))) as pool:
            for store, answer in zip(stores, pool.map(attempt, stores)):
                if isinstance(answer, BackupError):
                    self.result.stores[store.name].error = str(answer)
                else:
                    answers[store.name] = answer
        return answers


def _written(bundle: identity.Bundle) -> datetime.datetime:
    """When the newest of a bundle's files was written, in whole seconds as names have it.

    A time to come says only that a clock was wrong; nothing would ever be newer.
    """
    written = datetime.datetime.fromtimestamp(int(max(Path(path).stat().st_mtime for path in bundle.files)), UTC)
    return written if written <= datetime.datetime.now(UTC) else datetime.datetime.fromtimestamp(0, UTC)
