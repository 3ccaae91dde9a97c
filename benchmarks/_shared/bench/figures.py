# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures as Markdown, and their place in README.md: each benchmark has its own, between markers."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from . import BENCHMARKS

README = BENCHMARKS / "README.md"


def head(load: float) -> str:
    """When and on what the figures were measured."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    name = cpu[1] if cpu else platform.machine()
    gib = int(memory[1]) / 2**20 if memory else 0
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    machine = f"{os.cpu_count()} cores ({name}), {gib:.0f} GiB, Linux {platform.release().split('-')[0]}"
    return f"{today}, {machine}, load {load:.1f} before the start."


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column is words, the others are numbers."""
    rule = "|".join(["---", *("---:" for _ in titles[1:])])
    return [f"| {' | '.join(titles)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def replaced(document: str, section: str, text: str) -> str:
    """Return the document with another text between the markers of a section. ValueError without them. Pure."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    start, stop = document.index(begin) + len(begin), document.index(end)
    return f"{document[:start]}\n{text}\n{document[stop:]}"


def write(section: str, text: str) -> None:
    README.write_text(replaced(README.read_text(), section, text))
