# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in containerd: what `ctr images ls` says, and which ones are to be pulled. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def parse_listing(text: str) -> dict[str, str]:
    """The digests of `ctr images ls`, by reference."""
    found = {}
    for line in text.splitlines()[1:]:
        parts = line.split()
        digest = next((part for part in parts[1:4] if part.startswith("sha256:")), None)
        if digest:
            found[parts[0]] = digest
    return found


def plan(wanted: Sequence[Mapping[str, Any]], present: Mapping[str, str]) -> list[dict[str, Any]]:
    """The images to pull: those whose reference is missing or stands for another digest."""
    return [dict(image) for image in wanted if present.get(image["reference"]) != image["digest"]]


def last_words(said: str) -> str:
    """What a failed `ctr` said last, without its progress lines."""
    lines = [line.strip() for line in said.replace("\r", "\n").splitlines() if line.strip()]
    errors = [
        line
        for line in lines
        if (line.startswith(("ctr:", "time=")) and "error" in line.lower()) or line.startswith("ctr:")
    ]
    return (errors or lines or ["nothing"])[-1]
