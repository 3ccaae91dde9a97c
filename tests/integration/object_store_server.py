# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server on this machine, as the role object_store runs it, that can be made to fail in several ways.

versitygw is built from its pinned modules at the first use, and taken from the build cache after that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import tls
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from ansible_collections.caravan.cluster.plugins.module_utils._backup.versions import client
from ansible_collections.caravan.cluster.plugins.module_utils._object_store.plan import Bucket
from ansible_collections.caravan.cluster.plugins.module_utils._object_store.server import Server
from built_programs import programs

REPOSITORY = Path(__file__).resolve().parents[2]
VERSION = "1.8.0"
REGION = "us-east-1"


@dataclasses.dataclass(frozen=True)
class Keys:
    access: str
    secret: str = dataclasses.field(repr=False)


def new_keys(name: str) -> Keys:
    return Keys(name, secrets.token_hex(20))


class ObjectStore:
    """One server, on 127.0.0.1, with a certificate authority of its own.

    `root` may do all; `writer` and `keeper` have the grants of these names on every bucket that `bucket()` makes.
    `directory` is where it lives; with `megabytes` its data is on a file system of that size. `before`: what starts it,
    such as `nice`.
    """

    def __init__(self, directory: Path, megabytes: int = 0, before: Sequence[str] = ()) -> None:
        self.directory = directory
        self._before = before
        self.port = free_port()
        self.endpoint = f"https://localhost:{self.port}"
        self.region = REGION
        self.root, self.writer, self.keeper = new_keys("root"), new_keys("writer"), new_keys("keeper")
        self.ca_file = directory / "ca.crt"
        self.data = directory / "data"
        self.log = directory / "log"
        self._program = programs("versitygw", VERSION) / "versitygw"
        self._process: subprocess.Popen[bytes] | None = None
        self._mounted = False
        self._write_certificates()
        self.data.mkdir(parents=True)
        if megabytes:
            self._mount(megabytes)
        for name in ("objects", "versions", "users"):
            (self.data / name).mkdir()
        self.set_users(self.writer, self.keeper)

    @property
    def ca(self) -> str:
        return self.ca_file.read_text()

    # Running

    def start(self) -> None:
        assert self._process is None, "it runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._before, str(self._program), "posix", str(self.data / "objects")],
                stdout=output,
                stderr=output,
                env={
                    "PATH": os.environ["PATH"],
                    "ROOT_ACCESS_KEY_ID": self.root.access,
                    "ROOT_SECRET_ACCESS_KEY": self.root.secret,
                    "VGW_PORT": f"127.0.0.1:{self.port}",
                    "VGW_CERT": str(self.directory / "server.crt"),
                    "VGW_KEY": str(self.directory / "server.key"),
                    "VGW_REGION": REGION,
                    "VGW_IAM_DIR": str(self.data / "users"),
                    "VGW_IAM_CACHE_DISABLE": "true",
                    "VGW_VERSIONING_DIR": str(self.data / "versions"),
                    "VGW_DISABLE_ACL": "true",
                    "VGW_QUIET": "true",
                    "VGW_HEALTH": "/health",
                },
            )
        end = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None and time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order. Also when it is frozen, or has ended already."""
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self.kill()

    def kill(self) -> None:
        """As when its machine loses power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It takes connections and answers nothing, as with a hung disk, until `thaw`."""
        assert self._process is not None, "it does not run"
        self._signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        # Its threads stop one after another, and one that still runs could still answer.
        while any(task.joinpath("stat").read_text().rpartition(") ")[2][0] != "T" for task in tasks.iterdir()):
            time.sleep(0.01)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    # Its disk

    def fill_disk(self) -> None:
        """Leave no room on its file system; wants `megabytes`."""
        assert self._mounted, "it shares this machine's disk"
        with (self.data / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        ballast.write(b"\0" * size)

    def empty_disk(self) -> None:
        """Make room again."""
        (self.data / "ballast").unlink(missing_ok=True)

    def _mount(self, megabytes: int) -> None:
        image = self.directory / "disk.img"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        # The server's metadata are extended attributes, which have to fit into one block. No blocks are for root alone,
        # as whom it runs.
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(self.data)], check=True)
        self._mounted = True

    def remove(self) -> None:
        """End it, and take all of it away."""
        self.stop()
        if self._mounted:
            subprocess.run(["umount", str(self.data)], check=True)
            self._mounted = False
        shutil.rmtree(self.directory)

    # Its content

    def bucket(self, name: str, **settings: Any) -> str:
        """Make a bucket with versioning and object lock, which writer and keeper may use; `settings` as of `Bucket`."""
        grants = {self.writer.access: "writer", self.keeper.access: "keeper"}
        self.admin().apply(Bucket(name, **{"grants": grants, **settings}))
        return name

    def admin(self) -> Server:
        return Server(self.endpoint, self.root.access, self.root.secret, self.region, self.ca)

    def client(self, keys: Keys, timeout: float = 10) -> Any:
        """A client of boto3, which asks once."""
        return client(self.endpoint, self.region, keys.access, keys.secret, str(self.ca_file), timeout, attempts=1)

    def settings(self, name: str, bucket: str, keys: Keys, prefix: str = "") -> dict[str, str]:
        """An entry of `etcd_backup_stores`."""
        return {
            "name": name,
            "endpoint": self.endpoint,
            "region": self.region,
            "bucket": bucket,
            "prefix": prefix,
            "provider": "Other",
            "access_key": keys.access,
            "secret_key": keys.secret,
            "ca": self.ca,
        }

    def _write_certificates(self) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        ca_key, _pem = tls.new_key()
        key, key_pem = tls.new_key()
        ca = tls.authority(ca_key, "object store of the tests", now)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca_file.write_bytes(ca)
        (self.directory / "server.crt").write_bytes(tls.server(ca, ca_key, key, ["localhost", "127.0.0.1"], now))
        (self.directory / "server.key").touch(mode=0o600)
        (self.directory / "server.key").write_bytes(key_pem)

    def set_users(self, *users: Keys) -> None:
        """Have these users, beside root, and no others; also while it runs."""
        accounts = {keys.access: {"access": keys.access, "secret": keys.secret, "role": "user"} for keys in users}
        file = self.data / "users" / "users.new"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"accessAccounts": accounts}))
        file.replace(file.with_name("users.json"))


@contextlib.contextmanager
def running(directory: Path, megabytes: int = 0, before: Sequence[str] = ()) -> Iterator[ObjectStore]:
    """A server until the block ends."""
    store = ObjectStore(directory, megabytes, before)
    try:
        store.start()
        yield store
    finally:
        store.remove()
