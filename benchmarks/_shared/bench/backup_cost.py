# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What backups cost the writes of a cluster, and where their own time goes."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent_scene import BUCKET, NAMES, Cluster, Host
from built_programs import programs
from drill_scene import ETCD, new_key
from object_store_server import running

from . import memory, tracing
from .etcd_load import SETTINGS, Filling, written
from .latency import Latency, Sample, Window, latency, within

# As the unit of the role etcd_backup runs the agent. The store would be on another machine: it goes last.
AGENT = ("nice", "-n", "10", "ionice", "-c", "3")
TIMEOUT = 900


@dataclass(frozen=True)
class Backup:
    """One backup: `spans` are (begin, end) by phase."""

    leader: bool
    spans: dict[str, Window]
    db_bytes: int
    stored_bytes: int
    peak: memory.Peak

    @property
    def whole(self) -> Window:
        return self.spans["look"][0], self.spans["manifest"][1]

    @property
    def title(self) -> str:
        begin, end = self.whole
        return f"backup by {'the leader' if self.leader else 'a follower'}, {end - begin:.1f} s"

    def seconds(self, phase: str) -> float:
        begin, end = self.spans[phase]
        return end - begin


@dataclass
class Measured:
    """All of one size of database. `quiet` are windows without a backup."""

    megabytes: int
    quiet: list[Window] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def before(self) -> Latency:
        return latency(within(self.samples, self.quiet))

    def during(self, leader: bool, *phases: str) -> Latency:
        """Of writes due in these phases of backups by the leader, or by a follower; in all of the backup by default."""
        own = [backup for backup in self.backups if backup.leader == leader]
        windows = [backup.spans[phase] for backup in own for phase in phases] or [backup.whole for backup in own]
        return latency(within(self.samples, windows))

    def phases(self) -> dict[str, float]:
        """Seconds by phase, the median of all backups."""
        return {name: statistics.median(backup.seconds(name) for backup in self.backups) for name in tracing.PHASES}


class Scene:
    """A cluster of three members, a store, and the agent on each member's host."""

    def __init__(self, directory: Path, cluster: Cluster, hosts: dict[str, Host], trace: tracing.Trace) -> None:
        self.directory, self.cluster, self.hosts, self.trace = directory, cluster, hosts, trace
        self.filling = Filling(cluster)

    def backup(self, leader: bool) -> Backup:
        """Take one by the leader, or by a follower."""
        first = self.cluster.leader()
        name = first if leader else next(name for name in NAMES if name != first)
        host = self.hosts[name]
        begin = time.monotonic()
        process = host.start("now", pace=str(self.trace.directory), before=AGENT)
        try:
            with memory.watched(process.pid, host.work) as peak:
                said, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
        end = time.monotonic()
        if process.returncode != 0:
            raise RuntimeError(f"the backup failed:\n{said}")
        if self.cluster.leader() != first:
            raise RuntimeError("another member became the leader during the backup: the machine is too busy to measure")
        told = host.result("now")["manifest"]
        spans = tracing.phases(self.trace.calls(), begin, end)
        return Backup(leader, spans, told["db_bytes"], told["bytes"], peak)

    def measure(self, megabytes: int, rounds: int, seconds: float) -> Measured:
        """Quiet windows and backups in turn, for the machine's own mood to be in both alike."""
        found = Measured(megabytes)
        self.filling.fill(megabytes)
        # The first one stores the identity too, and finds all caches cold.
        for leader in (True, False):
            self.backup(leader)
        with written(self.cluster, self.directory) as writing:
            time.sleep(2)
            for turn in range(rounds):
                for leader in (True, False):
                    begin = time.monotonic()
                    time.sleep(seconds)
                    found.quiet.append((begin, time.monotonic()))
                    end = time.monotonic() + seconds
                    while time.monotonic() < end:
                        backup = self.backup(leader)
                        found.backups.append(backup)
                        print(f"  round {turn + 1}: {backup.title}", flush=True)
                    # What it wrote and read is not to be paid for in the next window.
                    time.sleep(2)
        found.samples = writing.samples
        return found


@contextmanager
def scene() -> Iterator[Scene]:
    """All of it on this machine's loopback; nothing is left."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="caravan-benchmark-")))
        (directory / "etcd").mkdir()
        cluster = Cluster(directory / "etcd", SETTINGS)
        stack.callback(cluster.stop)
        cluster.start(*NAMES)
        server = stack.enter_context(running(directory / "store", before=("nice", "-n", "19")))
        server.bucket(BUCKET)
        (directory / "hosts").mkdir()
        stack.enter_context(in_memory(directory / "hosts"))
        key = new_key(directory / "hosts" / "key")
        hosts = {}
        for name in NAMES:
            hosts[name] = Host(directory / "hosts" / name, cluster, name, [key.recipient])
            hosts[name].use(main=server)
            hosts[name].document["snapshot_timeout"] = TIMEOUT
            hosts[name].document["stores"][0] |= {"timeout": TIMEOUT}
        path = f"{programs('etcd', ETCD)}:{os.environ['PATH']}"
        yield Scene(directory, cluster, hosts, tracing.Trace(directory / "trace", path))


@contextmanager
def in_memory(directory: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=50%,mode=0700", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
