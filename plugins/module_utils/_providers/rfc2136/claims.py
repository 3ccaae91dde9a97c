# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a server or a name is. Neither has tags, so a TXT record beside a name says it, as ExternalDNS does.

Redfish has an asset tag. It is not used: many controllers refuse to write it or cut it short, its owner has put an
inventory number there, and two clusters that write it at the same time both succeed. A record is made by one update
that DNS carries out only if nothing of its name is there, and removed only while it is as it was: claims cannot be
shared or stolen. The zone also tells all claims in one transfer, the other clusters' included, whether a server answers
or not.

A claim is one TXT record of many strings, each `tag=value`: `_server.<server>.<zone>`, `_record.<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..ownership import Ownership
from .nameserver import Records, Zones

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
LONGEST = 255


@dataclass(frozen=True)
class Claim:
    """owner: the name of its record; text: the record as the zone has it, for comparison."""

    owner: str
    subject: str
    tags: Mapping[str, str]
    text: str


class Claims:
    """The claims of one kind, `server` or `record`, in one zone. `details`: more tags, of the kind's own."""

    def __init__(self, zones: Zones, zone: str, kind: str, ownership: Ownership) -> None:
        self.zones, self.zone, self.kind, self.ownership = zones, zone, kind, ownership

    def owner(self, subject: str) -> str:
        return f"_{self.kind}.{subject}"

    def text(self, name: str, stamp: str, details: Mapping[str, str]) -> str:
        return " ".join(
            _quoted(f"{tag}={value}") for tag, value in {**self.ownership.tags(name, stamp), **details}.items()
        )

    def all(self, records: Records) -> list[Claim]:
        """Whosoever they are."""
        found = []
        for owner, types in records.items():
            label, _dot, subject = owner.partition(".")
            if label == f"_{self.kind}" and "TXT" in types:
                text = types["TXT"][0]
                pairs = (string.partition("=") for string in STRING.findall(text))
                found.append(Claim(owner, subject, {tag: value for tag, _equals, value in pairs}, text))
        return found

    def own(self, records: Records) -> list[Claim]:
        return [claim for claim in self.all(records) if self.ownership.owns(claim.tags)]

    def find(self, subject: str) -> Claim | None:
        """The cluster's own claim on `subject`, as it is now."""
        return next((claim for claim in self.own(self.zones.read(self.zone)) if claim.subject == subject), None)


def _quoted(text: str) -> str:
    """One string of a TXT record. What is in here are tags: letters, digits and a few signs, no quotes."""
    if len(text) > LONGEST or '"' in text or "\\" in text:
        raise ValueError(f"{text!r} is no string of a TXT record")
    return f'"{text}"'
