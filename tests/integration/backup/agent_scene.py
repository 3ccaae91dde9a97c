# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd cluster of three real members on loopback, with TLS, and hosts on which the agent runs as its program."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._backup import listing, stores
from ansible_collections.caravan.cluster.plugins.module_utils._backup.config import stores as stores_of
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.etcd import Etcd, Member
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from ansible_collections.caravan.cluster.plugins.module_utils._identity.leaf import LeafWanted
from built_programs import programs
from drill_scene import ETCD, put
from object_store_server import ObjectStore

PACKAGE = Path(__file__).resolve().parents[3] / "plugins" / "module_utils" / "_backup"
CLUSTER = "harbour"
NAMES = ("cp1", "cp2", "cp3")
BUCKET = "backups"
UTC = datetime.timezone.utc


class Pki:
    """One authority, and one certificate for members and clients."""

    def __init__(self, directory: Path) -> None:
        now = datetime.datetime.now(UTC)
        authority_key = crypto.generate_key("ecdsa-p256")
        authority = crypto.authority_certificate(authority_key, "etcd-ca", 2, now)
        wanted = LeafWanted("member", frozenset(["server", "client"]), addresses=frozenset(["127.0.0.1"]))
        key, certificate = crypto.issue(wanted, authority, authority_key, "ecdsa-p256", 1, now)
        self.ca, self.certificate, self.key = (directory / name for name in ("ca.crt", "member.crt", "member.key"))
        for path, text in ((self.ca, authority), (self.certificate, certificate), (self.key, key)):
            path.touch(mode=0o600)
            path.write_text(text)


class Cluster:
    """Members by name; they are slow to elect, as a busy machine can be. `more`: settings of etcd."""

    def __init__(self, directory: Path, more: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.more = dict(more or {})
        self.pki = Pki(directory)
        self.ports = {name: (free_port(), free_port()) for name in NAMES}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def etcd(self, name: str) -> Etcd:
        return Etcd(
            f"https://127.0.0.1:{self.ports[name][0]}", str(self.pki.ca), str(self.pki.certificate), str(self.pki.key)
        )

    def start(self, *names: str) -> None:
        pairs = ",".join(f"{name}=https://127.0.0.1:{peer}" for name, (_, peer) in self.ports.items())
        for name in names:
            client, peer = self.ports[name]
            settings = {
                "NAME": name,
                "DATA_DIR": self.directory / name,
                "INITIAL_CLUSTER": pairs,
                "INITIAL_CLUSTER_STATE": "new",
                "LISTEN_CLIENT_URLS": f"https://127.0.0.1:{client}",
                "ADVERTISE_CLIENT_URLS": f"https://127.0.0.1:{client}",
                "LISTEN_PEER_URLS": f"https://127.0.0.1:{peer}",
                "INITIAL_ADVERTISE_PEER_URLS": f"https://127.0.0.1:{peer}",
                "CERT_FILE": self.pki.certificate,
                "KEY_FILE": self.pki.key,
                "TRUSTED_CA_FILE": self.pki.ca,
                "CLIENT_CERT_AUTH": "true",
                "PEER_CERT_FILE": self.pki.certificate,
                "PEER_KEY_FILE": self.pki.key,
                "PEER_TRUSTED_CA_FILE": self.pki.ca,
                "PEER_CLIENT_CERT_AUTH": "true",
                "HEARTBEAT_INTERVAL": "100",
                "ELECTION_TIMEOUT": "1000",
                "LOG_LEVEL": "error",
                "UNSAFE_NO_FSYNC": "true",
                **self.more,
            }
            with (self.directory / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [str(programs("etcd", ETCD) / "etcd")],
                    env={"PATH": os.environ["PATH"], **{f"ETCD_{key}": str(value) for key, value in settings.items()}},
                    stdout=log,
                    stderr=log,
                )
        self.wait_until_healthy(*names)

    def wait_until_healthy(self, *names: str) -> None:
        end = time.monotonic() + 30
        for name in names:
            while not self.looks_well(name):
                assert time.monotonic() < end, (self.directory / f"{name}.log").read_text()[-2000:]
                time.sleep(0.1)

    def looks_well(self, name: str) -> bool:
        try:
            return self.look(name).reads
        except BackupError:
            return False

    def look(self, name: str) -> Member:
        return self.etcd(name).look()

    def leader(self) -> str:
        looks = {name: self.look(name) for name in self.processes}
        return next(name for name, look in looks.items() if look.leader == look.member_id)

    def move_leader(self) -> str:
        """The new leader."""
        old = self.leader()
        new = next(name for name in NAMES if name != old)
        self.call(old, "move-leader", f"{self.look(new).member_id:x}")
        return new

    def call(self, name: str, *words: str) -> None:
        etcd = self.etcd(name)
        subprocess.run(
            [str(programs("etcd", ETCD) / "etcdctl"), *words, f"--endpoints={etcd.url}"],
            env={"ETCDCTL_CACERT": etcd.ca, "ETCDCTL_CERT": etcd.certificate, "ETCDCTL_KEY": etcd.key},
            check=True,
            capture_output=True,
            timeout=30,
        )

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def fill(self, number: int) -> None:
        for count in range(number):
            put(self.etcd("cp1"), f"/registry/pods/default/web-{count}", b"k8s\x00pod")


class Host:
    """A host of the cluster as the role etcd_backup leaves it, with its directories below one."""

    def __init__(self, directory: Path, cluster: Cluster, name: str, recipients: list[str]) -> None:
        self.directory, self.cluster, self.name = directory, cluster, name
        self.work = directory / "work"
        self.metrics_file = directory / "metrics" / "etcd_backup.prom"
        for path in (directory, self.work, directory / "lib"):
            path.mkdir(parents=True, exist_ok=True)
        shutil.copytree(PACKAGE, directory / "lib" / "caravan_backup", dirs_exist_ok=True)
        self.identity = directory / "ca.key"
        self.identity.write_text("the key of an authority")
        etcd = cluster.etcd(name)
        self.document: dict[str, Any] = {
            "cluster": CLUSTER,
            "node": name,
            "member": name,
            "interval": 86400,
            "recipients": recipients,
            "stores": [],
            "etcd": {"url": etcd.url, "ca": etcd.ca, "certificate": etcd.certificate, "key": etcd.key},
            "parts": {"etcd": [str(self.identity)]},
            "settings": {"endpoint": "api.harbour"},
            "work": str(self.work),
            "state": str(directory / "state"),
            "metrics": str(directory / "metrics"),
            "snapshot_timeout": 60,
            "patience": 20,
        }

    def use(self, **servers: ObjectStore) -> None:
        """Back up to these, with what a node may do there. They have the time that a busy machine may need."""
        entries = [server.settings(name, BUCKET, server.writer) for name, server in servers.items()]
        (self.directory / "rclone.conf").touch(mode=0o600)
        (self.directory / "rclone.conf").write_text(stores.rclone_config(entries))
        self.document["stores"] = [
            {"name": name, "bucket": BUCKET, "has_ca": True, "timeout": 30, "short_timeout": 30, "idle_timeout": 30}
            for name in servers
        ]
        for name, server in servers.items():
            (self.directory / f"ca-{name}.pem").write_text(server.ca)

    def give_up_soon(self, store: str) -> None:
        """Wait for a store only as long as it takes to see that it is frozen."""
        entry = next(entry for entry in self.document["stores"] if entry["name"] == store)
        entry |= {"timeout": 20, "short_timeout": 4, "idle_timeout": 2}

    def start(self, *words: str, pace: str = "", before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Begin a run. `pace`: a directory with programs that stand before the real ones; `before`: such as `nice`."""
        (self.directory / "config.json").write_text(json.dumps(self.document))
        path = f"{pace}:{programs('etcd', ETCD)}:{os.environ['PATH']}".lstrip(":")
        return subprocess.Popen(
            [*before, sys.executable, "-m", "caravan_backup", f"--config={self.directory / 'config.json'}", *words],
            env={"PATH": path, "PYTHONPATH": str(self.directory / "lib"), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        """(exit code, what was said)"""
        process = self.start(*words)
        try:
            said, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            raise
        return process.returncode, said

    def result(self, verb: str) -> dict[str, Any]:
        return dict(json.loads((self.directory / "state" / f"{verb}.json").read_text()))

    def stores(self) -> list[stores.Store]:
        """The stores as this host may use them, with time enough."""
        return [
            dataclasses.replace(store, timeout=30, short_timeout=30, idle_timeout=30)
            for store in stores_of(self.document["stores"], self.directory)
        ]

    def listing(self) -> listing.Listing:
        return listing.read_all(self.stores(), CLUSTER)

    def held(self, store: str) -> list[str]:
        """The names of the backups in one store."""
        found = self.listing()
        assert store not in found.errors, found.errors
        return [backup.name.short for backup in found.backups if store in backup.stores]

    def metric(self, name: str, **labels: str) -> float:
        written = ",".join(f'{label}="{value}"' for label, value in sorted({"cluster": CLUSTER, **labels}.items()))
        start = f"caravan_etcd_backup_{name}{{{written}}} "
        lines = self.metrics_file.read_text().splitlines()
        return float(next(line for line in lines if line.startswith(start)).removeprefix(start))
