# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity bundle: the files that make a cluster that cluster, in one tar archive for each part of a host.

The archive holds the shared files of the part under their absolute paths, and `caravan.json` with the cluster's name,
networks and endpoint. The same contents always have the same digest, whoever packs them, and when.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import BackupError

SETTINGS = "caravan.json"


@dataclass(frozen=True)
class Bundle:
    """`settings`: cluster, part, pod_cidr, service_cidr, endpoint, ... `files`: contents by absolute path; secret."""

    settings: dict[str, str]
    files: dict[str, bytes]


def digest(bundle: Bundle) -> str:
    """Return the SHA-256 over the contents, in hexadecimal."""
    total = hashlib.sha256()
    for name, data in sorted(_members(bundle).items()):
        total.update(len(name.encode()).to_bytes(8, "big") + name.encode())
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


def fingerprint(data: bytes) -> str:
    """Return the SHA-256 of one file's contents, whatever blank lines it ends with."""
    return hashlib.sha256(data.strip()).hexdigest()


def pack(bundle: Bundle) -> bytes:
    """Return the bundle as a tar archive. Secret."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(_members(bundle).items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o600
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack(data: bytes) -> Bundle:
    """Return what `pack` packed. BackupError when it is something else."""
    files: dict[str, bytes] = {}
    settings: Mapping[str, str] | None = None
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if not member.isfile() or stream is None or ".." in member.name.split("/"):
                    raise BackupError(f"the identity bundle holds {member.name}, which is no file of it")
                content = stream.read()
                if member.name == SETTINGS:
                    settings = json.loads(content)
                else:
                    files["/" + member.name.lstrip("/")] = content
    except (tarfile.TarError, ValueError) as error:
        raise BackupError(f"this is no identity bundle: {error}") from error
    if not isinstance(settings, dict) or not settings.get("cluster") or not settings.get("part"):
        raise BackupError(f"this is no identity bundle: {SETTINGS} in it does not say of which cluster and part it is")
    return Bundle(settings, files)


def _members(bundle: Bundle) -> dict[str, bytes]:
    settings = json.dumps(bundle.settings, indent=1, sort_keys=True).encode()
    return {SETTINGS: settings, **{path.lstrip("/"): data for path, data in bundle.files.items()}}
