# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to podman: one class that runs commands, and one error.

Everything that decides something is in `image` and `nodes`, which do not run anything.
"""

from __future__ import annotations

import json
import os
import subprocess


class PodmanError(Exception):
    """A command failed. The text names the command and what it wrote on stderr."""


def run(argv: list[str], environment: dict[str, str], stdin: bytes | None = None) -> bytes:
    """Run `argv` and return its stdout; raise PodmanError with its stderr where it fails or is not installed."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise PodmanError(f"{argv[0]} is not installed: run scripts/setup") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise PodmanError(f"`{' '.join(argv[:3])} ...` failed with {done.returncode}: {said}")
    return done.stdout


class Podman:
    """podman with this project's settings, never the machine's own."""

    def __init__(self, containers_conf: str) -> None:
        self.environment = {**os.environ, "CONTAINERS_CONF": containers_conf}

    def run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        return run(["podman", *arguments], self.environment, stdin)

    def json(self, *arguments: str) -> list:
        """The JSON list that `podman ... --format json` prints; an empty answer is an empty list."""
        return json.loads(self.run(*arguments) or b"[]") or []

    def ok(self, *arguments: str) -> bool:
        """Whether the command succeeds: for `podman image exists` and its like."""
        try:
            self.run(*arguments)
        except PodmanError:
            return False
        return True
