# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics as a text file for Prometheus' node exporter. Counters go on from what the file said before."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\{(?P<labels>[^}]*)\} (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = tuple[tuple[str, str], ...]


@dataclass
class Metrics:
    """`described`: (type, help) of each metric by name. Samples that no longer belong are left out by `keep`."""

    described: Mapping[str, tuple[str, str]]
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def put(self, name: str, value: float, **labels: str) -> None:
        self.samples[name, tuple(sorted(labels.items()))] = value

    def add(self, name: str, value: float, **labels: str) -> None:
        """Raise a counter; by zero, to have it begin."""
        key = name, tuple(sorted(labels.items()))
        self.samples[key] = self.samples.get(key, 0) + value

    def keep(self, label: str, values: set[str]) -> None:
        """Forget samples of which the label has another value, such as stores that are no longer used."""
        self.samples = {
            (name, labels): value
            for (name, labels), value in self.samples.items()
            if dict(labels).get(label, next(iter(values), "")) in values
        }

    def text(self) -> str:
        lines = []
        for name, (kind, words) in self.described.items():
            own = sorted((labels, value) for (sample, labels), value in self.samples.items() if sample == name)
            if own:
                lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            for labels, value in own:
                written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
                lines.append(f"{name}{{{written}}} {value:.17g}")
        return "".join(f"{line}\n" for line in lines)


def read(path: Path, described: Mapping[str, tuple[str, str]]) -> Metrics:
    """Return the metrics as they were written before; none when the file is missing or is no such file."""
    found = Metrics(described)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None or match["name"] not in described:
            continue
        labels = tuple(sorted((name, _plain(value)) for name, value in _LABEL.findall(match["labels"])))
        try:
            found.samples[match["name"], labels] = float(match["value"])
        except ValueError:
            continue
    return found


def write(path: Path, metrics: Metrics) -> None:
    """Replace the file in one step: a scrape sees the old or the new one."""
    replace(path, metrics.text().encode())


def replace(path: Path, data: bytes) -> None:
    """Replace a file that everyone may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
