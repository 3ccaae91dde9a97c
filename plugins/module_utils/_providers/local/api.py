# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to podman, as the engine wants it: labels as tags, and errors told apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..._podman import lost
from ..._podman.client import Podman, PodmanError
from ..._podman.observe import labels
from ..errors import ProviderError, TransientError
from ..ownership import Ownership
from ..patience import Patience

# What a container that is going still holds, and what podman's own files were locked by.
TRANSIENT = (
    "being used",
    "in use",
    "resource temporarily unavailable",
    "device or resource busy",
    "database is locked",
)
GONE = ("no such container", "no container with", "no such volume", "no such network", "unable to find network")


class Api:
    """busy: how long a command is repeated that what is going, or another command, stands in the way of."""

    def __init__(self, podman: Podman, ownership: Ownership, busy: Patience | None = None) -> None:
        self.podman, self.ownership = podman, ownership
        self.busy = busy or Patience(limit=60, longest=2)

    def run(self, *arguments: str, about: str = "", stdin: bytes | None = None, gone: bool = False) -> str:
        """What the command prints. gone: whether it is as well when its object is not there."""

        def step(attempts: int) -> str:
            try:
                return self.podman.run(*arguments, stdin=stdin).decode()
            except PodmanError as error:
                text = str(error).lower()
                if gone and any(word in text for word in GONE):
                    return ""
                if any(word in text for word in TRANSIENT):
                    raise TransientError(f"{about}: {error}") from error
                raise ProviderError(f"{about}: {error}") from error

        return self.busy(step)

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run(*arguments, about=f"podman {arguments[0]}") or "[]") or []
        return found

    def ended(self) -> frozenset[str]:
        """The ids of containers without a process, whatever podman believes."""
        try:
            found: frozenset[str] = lost.ended(self.podman)
        except PodmanError as error:
            raise ProviderError(f"containers: {error}") from error
        return found

    def write_down(self, id: str) -> None:
        """Have podman know that a container has ended, where nobody else can tell."""
        try:
            lost.write_down(self.podman, [id])
        except PodmanError as error:
            raise ProviderError(f"container {id}: {error}") from error

    def own(self, *arguments: str) -> list[dict[str, Any]]:
        """What a listing has of the cluster's own, each entry with its `tags`."""
        filters = [f"--filter=label={name}={value}" for name, value in self.ownership.identifying().items()]
        listed = [{**entry, "tags": labels(entry)} for entry in self.json(*arguments, "--format=json", *filters)]
        return [entry for entry in listed if self.ownership.owns(entry["tags"])]

    def name(self, name: str) -> str:
        """What something of the cluster is called at podman, which has one name for each thing of a kind."""
        return f"{self.ownership.infra_id}-{name}"

    def labels(self, name: str, stamp: str, more: Mapping[str, str] | None = None) -> list[str]:
        """As arguments of the command that makes it: podman lets nobody change them later."""
        return [f"--label={key}={value}" for key, value in {**self.ownership.tags(name, stamp), **(more or {})}.items()]
