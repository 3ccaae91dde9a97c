# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a backup, in the clear, beside it. Nothing in it is secret. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from .errors import BackupError

FORMAT = 1


@dataclass(frozen=True)
class SnapshotManifest:
    """A snapshot that was read back from its store and found whole.

    `bytes` and `sha256` are of the object as it is stored (compressed, encrypted). `db_bytes`, `revision`, `hash` and
    `keys` are what `etcdutl snapshot status` said before; `counts` are the keys per resource at that revision as the
    live cluster had them, {"/registry/pods": 12}. `identity` are the keys of the identity bundles that were the
    newest in the store, by part. `recipients` are age public keys. Times are as in names.
    """

    cluster: str
    key: str
    time: str
    member: str
    etcd_version: str
    cluster_id: str
    revision: int
    hash: int
    keys: int
    db_bytes: int
    bytes: int
    sha256: str
    counts: dict[str, int]
    identity: dict[str, str]
    recipients: list[str]
    seconds: float = 0.0
    format: int = FORMAT


@dataclass(frozen=True)
class IdentityManifest:
    """One part of the identity bundle. `digest` is the SHA-256 of its contents before encryption."""

    cluster: str
    key: str
    time: str
    member: str
    part: str
    digest: str
    bytes: int
    sha256: str
    recipients: list[str] = field(default_factory=list)
    format: int = FORMAT


Manifest = TypeVar("Manifest", SnapshotManifest, IdentityManifest)


def dump(manifest: SnapshotManifest | IdentityManifest) -> bytes:
    """Return the manifest as it is stored."""
    return (json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n").encode()


def load(kind: type[Manifest], data: bytes, key: str) -> Manifest:
    """Return the manifest of the object `key`. BackupError when it is not one, or another object's."""
    try:
        document: Any = json.loads(data)
    except ValueError as error:
        raise BackupError(f"the manifest of {key} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        seen = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise BackupError(f"the manifest of {key} has the format {seen}, wanted {FORMAT}")
    known = {each.name: each for each in fields(kind)}
    missing = sorted(set(known) - set(document) - {"seconds", "recipients"})
    if missing:
        raise BackupError(f"the manifest of {key} lacks {', '.join(missing)}")
    wrong = [
        name
        for name in ("revision", "hash", "keys", "db_bytes", "bytes")
        if name in known and (not isinstance(document[name], int) or document[name] < 0)
    ]
    if wrong:
        raise BackupError(f"the manifest of {key} has no number in {', '.join(wrong)}")
    if document["key"] != key:
        raise BackupError(f"the manifest beside {key} is that of {document['key']}")
    # Later versions may say more.
    return kind(**{name: document[name] for name in known if name in document})
