# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage of a mirror's registry, and a registry over it while the mirror is being filled."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .._backup import loopback
from . import index
from .errors import ArtifactError

START_SECONDS = 20.0


def blobs(storage: Path, digest: str) -> list[str]:
    """All blobs of a manifest in a registry's storage, through the manifests of an image index."""
    manifest = json.loads((storage / index.blob(digest)).read_text())
    found = []
    for part in manifest.get("manifests", []):
        if (storage / index.blob(part["digest"])).is_file():
            found += [part["digest"], *blobs(storage, part["digest"])]
    for part in [manifest.get("config"), *manifest.get("layers", [])]:
        if part:
            found.append(part["digest"])
    return sorted(set(found))


@contextlib.contextmanager
def serving(storage: Path) -> Iterator[str]:
    """A registry over `storage` on this machine's loopback, for as long as the block lasts. Yields its address."""
    storage.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{loopback.free_port()}"
    settings = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": False}},
        "http": {"addr": address},
    }
    with tempfile.TemporaryDirectory(prefix="caravan-registry-") as temporary:
        configuration, log = Path(temporary) / "config.yml", Path(temporary) / "log"
        # JSON is YAML.
        configuration.write_text(json.dumps(settings))
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    ["docker-registry", "serve", str(configuration)], stdout=output, stderr=subprocess.STDOUT
                )
            except FileNotFoundError as error:
                raise ArtifactError("docker-registry is not installed: run scripts/setup") from error
            try:
                _wait_for(address, process, log)
                yield address
            finally:
                process.terminate()
                process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            opener.open(f"http://{address}/v2/", timeout=2).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise ArtifactError(f"the registry did not answer on {address}: {error}; it said: {tail}") from error
            time.sleep(0.05)
