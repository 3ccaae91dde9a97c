# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""S3 stores, by rclone."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import commands
from .errors import CommandError, StoreError

# rclone's own retries would double those of whoever asks again.
_FLAGS = ("--quiet", "--low-level-retries=1", "--retries=1", "--contimeout=5s", "--s3-no-check-bucket")


@dataclass(frozen=True)
class Entry:
    """An object: its key, its size in bytes and when it was stored (aware)."""

    key: str
    bytes: int
    time: datetime.datetime


@dataclass(frozen=True)
class Store:
    """A bucket, or a part of one below `prefix` (no slash at its ends).

    `config` is rclone's configuration file (0600), which has the credentials; the store's name is the remote's.
    Seconds: `timeout` limits a transfer, `short_timeout` every other call, `idle_timeout` a connection on which nothing
    moves. rclone tries some calls twice.
    """

    name: str
    bucket: str
    config: str
    prefix: str = ""
    ca_file: str = ""
    timeout: float = 600
    short_timeout: float = 60
    idle_timeout: float = 15
    read_only: bool = False

    def list(self, folder: str) -> list[Entry]:
        """Return the objects below a folder, sorted by key. A folder that is not there is empty."""
        # The server's time: rclone would ask for its own time of each object by itself.
        printed = self._run(
            "lsjson",
            self._path(folder),
            "--recursive",
            "--files-only",
            "--no-mimetype",
            "--use-server-modtime",
            "--fast-list",
            timeout=self.short_timeout,
        )
        entries = [
            Entry(f"{folder.strip('/')}/{item['Path']}", int(item["Size"]), _moment(item["ModTime"]))
            for item in json.loads(printed)
        ]
        return sorted(entries, key=lambda entry: entry.key)

    def put(self, path: str, key: str) -> None:
        """Upload a file. S3 shows it when all of it is there, never before."""
        # rclone's look at the version it has written wants a right that a node does not need: it is read back anyway.
        self._run("copyto", "--no-check-dest", "--no-traverse", "--s3-no-head", path, self._path(key))

    def get(self, key: str, path: str) -> None:
        """Download an object into a file."""
        self._run("copyto", "--no-check-dest", self._path(key), path)
        if not Path(path).exists():
            raise StoreError(f"store {self.name}: there is no {key}")

    def get_many(self, folder: str, keys: Sequence[str], directory: str) -> dict[str, Path]:
        """Download small objects of a folder into a directory, in one call; {key: file}, without those not there."""
        listed = "".join(f"{key[len(folder.strip('/')) + 1 :]}\n" for key in keys)
        self._run(
            "copy",
            "--no-check-dest",
            "--no-traverse",
            "--files-from-raw=-",
            "--transfers=16",
            self._path(folder),
            directory,
            data=listed.encode(),
        )
        paths = {key: Path(directory) / key[len(folder.strip("/")) + 1 :] for key in keys}
        return {key: path for key, path in paths.items() if path.is_file()}

    def read(self, key: str) -> bytes:
        """Return a small object. StoreError when it is not there, or empty."""
        data = self._run("cat", self._path(key), timeout=self.short_timeout)
        if not data:
            raise StoreError(f"store {self.name}: there is no {key}, or it is empty")
        return data

    def digest(self, key: str) -> tuple[str, int]:
        """Read an object and return its SHA-256 and size; it is kept nowhere. One that is not there has no size."""
        try:
            return commands.digest(self._arguments("cat", self._path(key)), self.timeout)
        except CommandError as error:
            raise self._explained(error) from error

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._run("deletefile", self._path(key), timeout=self.short_timeout)

    def _path(self, key: str) -> str:
        return f"{self.name}:" + "/".join(part for part in (self.bucket, self.prefix, key.strip("/")) if part)

    def _arguments(self, *arguments: str) -> Sequence[str]:
        flags = [*_FLAGS, f"--config={self.config}", f"--timeout={self.idle_timeout:g}s"]
        if self.ca_file:
            flags.append(f"--ca-cert={self.ca_file}")
        return ["rclone", *arguments, *flags]

    def _run(self, *arguments: str, data: bytes | None = None, timeout: float = 0) -> bytes:
        try:
            return commands.run(self._arguments(*arguments), timeout or self.timeout, data=data)
        except CommandError as error:
            raise self._explained(error) from error

    def _explained(self, error: CommandError) -> StoreError:
        """rclone's words without their noise. It also calls a bucket a directory."""
        text = re.sub(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (ERROR : )?|,? request id: \S+| host id: \S+", "", str(error))
        if "directory not found" in text:
            text = f"there is no bucket {self.bucket}"
        return StoreError(f"store {self.name}: {text}")


def rclone_config(stores: Sequence[Mapping[str, str]]) -> str:
    """Return rclone's configuration for stores {name, endpoint, region, provider, access_key, secret_key}. Secret.

    Without keys rclone takes those of its environment, such as the identity of a cloud machine.
    """
    sections = []
    for store in stores:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", store["name"]):
            raise StoreError(f"a store is called '{store['name']}', wanted lower-case letters, digits, - and _")
        lines = [
            f"[{store['name']}]",
            "type = s3",
            f"provider = {store.get('provider') or 'Other'}",
            f"endpoint = {store['endpoint']}" if store.get("endpoint") else "",
            f"region = {store['region']}" if store.get("region") else "",
            f"access_key_id = {store['access_key']}" if store.get("access_key") else "env_auth = true",
            f"secret_access_key = {store['secret_key']}" if store.get("access_key") else "",
        ]
        sections.append("\n".join(line for line in lines if line))
    return "\n\n".join(sections) + "\n"


def _moment(text: str) -> datetime.datetime:
    """A time as rclone writes it, with up to nine digits of a second."""
    head = re.sub(r"\.\d+", "", text)
    return datetime.datetime.fromisoformat(head.replace("Z", "+00:00"))
