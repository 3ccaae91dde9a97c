# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching verified files and images from upstream."""

from __future__ import annotations

import hashlib
import urllib.error
from pathlib import Path

from ansible.module_utils.urls import ConnectionError as UrlConnectionError
from ansible.module_utils.urls import open_url

from . import archive, index
from .edges import run
from .errors import ArtifactError

TIMEOUT_SECONDS = 60


def fetch_file(what: str, address: str, sha256: str, target: Path, ca: str = "") -> None:
    """Fetch a file, and refuse it if it is not the recorded one. Nothing is done where it is there already."""
    if target.is_file() and archive.sha256_of(target) == sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    seen = hashlib.sha256()
    try:
        with (
            open_url(address, timeout=TIMEOUT_SECONDS, ca_path=ca or None) as answer,
            part.open("wb") as output,
        ):
            for data in iter(lambda: answer.read(archive.CHUNK), b""):
                seen.update(data)
                output.write(data)
    except (urllib.error.URLError, UrlConnectionError, OSError) as error:
        raise ArtifactError(f"{what} cannot be fetched from {address}: {error}") from error
    if seen.hexdigest() != sha256:
        part.unlink()
        raise ArtifactError(f"{what} from {address} is refused: its sha256 is {seen.hexdigest()}, wanted {sha256}")
    part.replace(target)


def copy_image(reference: str, digest: str, registry: str) -> None:
    """Copy an image by digest, all of its architectures, from its upstream registry into `registry`."""
    repository = index.mirror_repository(reference)
    run(
        [
            "skopeo",
            "copy",
            "--quiet",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
            f"docker://{repository}@{digest}",
            f"docker://{registry}/{reference}",
        ]
    )
