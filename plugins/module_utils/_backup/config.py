# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a host that takes backups, /etc/caravan/backup/config.json. Nothing in it is secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BackupError
from .etcd import Etcd
from .stores import Store

DIRECTORY = Path("/etc/caravan/backup")
FILE = DIRECTORY / "config.json"


class ConfigError(BackupError):
    """The configuration cannot be used."""


@dataclass(frozen=True)
class Config:
    """What the agent goes by.

    `member`: the name of this host's etcd member; none where the host only holds a part of the identity. `parts`: the
    files of the identity this host holds, by part. `settings`: what the identity bundle says besides. `interval`: the
    seconds for which one backup does. `work`: a directory in memory. `state`: one for the lock and the last results.
    `node`: how this host is called in manifests. `patience`: the seconds a member that is to snapshot has to answer.
    """

    cluster: str
    node: str
    member: str
    interval: int
    recipients: list[str]
    stores: list[Store]
    etcd: Etcd
    parts: dict[str, list[str]]
    settings: dict[str, str]
    work: Path
    state: Path
    metrics: Path
    snapshot_timeout: float
    patience: float


def load(path: Path = FILE) -> Config:
    """Read the configuration. ConfigError says what is wrong with it."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    try:
        return parse(document, path.parent)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} lacks {error}, or has something else in its place") from error


def parse(document: Mapping[str, Any], directory: Path) -> Config:
    """Return the configuration of a document; rclone.conf and the stores' authorities lie in `directory`."""
    return Config(
        cluster=str(document["cluster"]),
        node=str(document["node"]),
        member=str(document["member"]),
        interval=int(document["interval"]),
        recipients=[str(recipient) for recipient in document["recipients"]],
        stores=stores(document["stores"], directory),
        etcd=Etcd(**document["etcd"]),
        parts={str(part): [str(path) for path in paths] for part, paths in document["parts"].items()},
        settings={str(name): str(value) for name, value in document["settings"].items()},
        work=Path(document["work"]),
        state=Path(document["state"]),
        metrics=Path(document["metrics"]),
        snapshot_timeout=float(document["snapshot_timeout"]),
        patience=float(document["patience"]),
    )


def stores(entries: list[Mapping[str, Any]], directory: Path) -> list[Store]:
    """Return the stores of entries {name, bucket, prefix, has_ca, timeout, short_timeout, idle_timeout}."""
    return [
        Store(
            name=str(entry["name"]),
            bucket=str(entry["bucket"]),
            config=str(directory / "rclone.conf"),
            prefix=str(entry.get("prefix") or "").strip("/"),
            ca_file=str(directory / f"ca-{entry['name']}.pem") if entry.get("has_ca") else "",
            timeout=float(entry.get("timeout", Store.timeout)),
            short_timeout=float(entry.get("short_timeout", Store.short_timeout)),
            idle_timeout=float(entry.get("idle_timeout", Store.idle_timeout)),
        )
        for entry in entries
    ]
