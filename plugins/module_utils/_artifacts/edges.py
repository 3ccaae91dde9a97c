# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filling a mirror does to the controller: programs it runs, files it writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ArtifactError


def read_catalogue(directory: Path) -> dict[str, Any]:
    """All entries of a catalogue's directory."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = {}
    for path in sorted(directory.glob("*.yml")):
        entry = yaml.load(path.read_text(), Loader=loader)
        entries[entry["component"]] = entry
    if not entries:
        raise ArtifactError(f"no catalogue is in {directory}")
    return entries


def run(
    command: list[str],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    missing: str = "run scripts/setup",
) -> str:
    """Run a program and return what it printed; its last words are the error."""
    try:
        done = subprocess.run(
            command,
            cwd=str(cwd) if cwd else None,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ArtifactError(f"{command[0]} is not installed: {missing}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise ArtifactError(f"{command[0]} failed with {done.returncode}: {tail}")
    return done.stdout


def link_or_copy(source: Path, target: Path) -> None:
    if target.exists():
        target.unlink()
    try:
        os.link(str(source), str(target))
    except OSError:
        shutil.copyfile(str(source), str(target))


def write_atomically(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
