# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoint's address in DNS, by dynamic update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..base import Handler
from ..errors import Problem, ProviderError
from ..model import Change, Found, Kind, Resource
from ..ownership import Ownership
from ..spec import Spec
from .claims import Claim, Claims
from .nameserver import RefusedUpdate, UnauthorizedError, Zones

TYPES = ("A", "AAAA")


class Record(Handler):
    """An A or AAAA record with the claim beside it. Both are made, changed and removed by the same update."""

    kind = Kind("record", needs=("machine",), mutable=frozenset({"values"}), unordered=frozenset({"values"}))

    def __init__(self, zones: Zones, zone: str, ownership: Ownership) -> None:
        self.zones, self.zone, self.ownership = zones, zone, ownership
        self.claims = Claims(zones, zone, "record", ownership)

    def observe(self) -> Iterator[Found]:
        # A cluster without a zone of its own has no record.
        records = self.zones.read(self.zone) if self.zone else {}
        for claim in self.claims.own(records):
            types = records.get(claim.subject, {})
            values = sorted(value for type in TYPES for value in types.get(type, []))
            yield self._found(claim, values)

    def _found(self, claim: Claim, values: list[str]) -> Found:
        properties = {"name": claim.subject, "values": values}
        name, stamp = self.ownership.name(claim.tags), self.ownership.stamp(claim.tags)
        return Found("record", name, claim.subject, properties, stamp)

    def create(self, wanted: Resource, token: str) -> Found:
        name = wanted.properties["name"]
        records = {**self._addresses(wanted), (self.claims.owner(name), "TXT"): [self._text(wanted)]}
        try:
            self.zones.add(self.zone, records)
        except RefusedUpdate as error:
            raise ProviderError(f"{wanted.key}: {name} is there, and is not the cluster's own: {error}") from error
        return Found("record", wanted.name, name, wanted.properties, wanted.stamp)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        claim = self.claims.find(found.id)
        if claim is None:
            raise ProviderError(f"{wanted.key}: the claim on {found.id} is gone from the zone")
        records = {**self._addresses(wanted), (claim.owner, "TXT"): [self._text(wanted)]}
        self.zones.replace(self.zone, records, (claim.owner, [claim.text]))
        return Found("record", wanted.name, found.id, wanted.properties, wanted.stamp)

    def delete(self, found: Found) -> None:
        claim = self.claims.find(found.id)
        if claim is not None:
            records = [(found.id, type) for type in TYPES] + [(claim.owner, "TXT")]
            self.zones.remove(self.zone, records, (claim.owner, [claim.text]))

    @staticmethod
    def _addresses(wanted: Resource) -> dict[tuple[str, str], list[str]]:
        name, values = wanted.properties["name"], wanted.properties["values"]
        by_type = {
            "A": [value for value in values if ":" not in value],
            "AAAA": [value for value in values if ":" in value],
        }
        return {(name, type): texts for type, texts in by_type.items() if texts}

    def _text(self, wanted: Resource) -> str:
        return self.claims.text(wanted.name, wanted.stamp, {})


def unauthorized(error: UnauthorizedError) -> Problem:
    """A name server that does not let us."""
    wanted = "a zone of this server, and a key that may transfer and update it"
    return Problem("DNS", str(error), wanted, "infrastructure_settings.dns and infrastructure_secrets.tsig")


def taken(spec: Spec, zones: Zones) -> Iterator[Problem]:
    """A name that is somebody else's already."""
    host = spec.endpoint.host
    there = zones.read(spec.dns.zone).get(host)
    if there:
        seen = f"{host} has records ({', '.join(sorted(there))}) that are not the cluster's own"
        yield Problem("dns", seen, "a name that is free", "cluster_endpoint, or remove the records")
