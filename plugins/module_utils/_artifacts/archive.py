# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives: written so that the same content gives the same bytes, read without trusting the paths in them."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import ArtifactError

CHUNK = 1024 * 1024


def sha256_of(path: Path) -> str:
    seen = hashlib.sha256()
    with path.open("rb") as stream:
        while True:
            data = stream.read(CHUNK)
            if not data:
                return seen.hexdigest()
            seen.update(data)


def write(path: Path, members: dict[str, Path]) -> None:
    """Write a `.tar.gz` of programs, `{path in the archive: file}`, the same bytes for the same content.

    The lowest compression: these archives travel over a local network once and are written on every build.
    """
    with (
        path.open("wb") as stream,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name in sorted(members):
            # TarInfo's defaults are owner 0 and time 0.
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            entry.size = members[name].stat().st_size
            entry.uname = entry.gname = "root"
            with members[name].open("rb") as content:
                archive.addfile(entry, content)


def read(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of an archive, as `(path in the archive, stream)`. Links and devices are left out."""
    try:
        with tarfile.open(str(path), mode="r:*") as archive:
            for entry in archive:
                if entry.isreg():
                    stream = archive.extractfile(entry)
                    if stream is not None:
                        yield normal(entry.name), stream
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArtifactError(f"{path.name} cannot be read as an archive: {error}") from error


def normal(name: str) -> str:
    """A path inside an archive without a leading `./`."""
    while name.startswith("./"):
        name = name[2:]
    return name
