# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoint's name in Route 53."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import ProviderError
from ..model import Change, Found, Kind, Properties, Resource
from ..ownership import Ownership
from ..spec import Spec
from .api import Api
from .ec2 import AwsHandler

# Records have no tags. Whose a name is says a TXT record beside it, which is written in the same change.
OWNER = "_caravan."


class Record(AwsHandler):
    """alias: {name, zone} of a load balancer, or None; values: addresses, where there is none."""

    kind = Kind("record", needs=("balancer", "machine"), mutable=frozenset({"alias", "values"}))

    def __init__(self, api: Api, ownership: Ownership, spec: Spec) -> None:
        super().__init__(api, ownership)
        self.host = spec.endpoint.host
        self.zone = spec.dns.zone
        self.managed = spec.dns.manage

    def zone_id(self) -> str:
        """The id of the public zone of that name; empty where there is none."""
        answer = self.api.call("route53", "list_hosted_zones_by_name", DNSName=self.zone, MaxItems="2")
        zones = [
            zone
            for zone in answer["HostedZones"]
            if zone["Name"] == f"{self.zone}." and not zone.get("Config", {}).get("PrivateZone")
        ]
        return str(zones[0]["Id"]).rpartition("/")[2] if zones else ""

    def observe(self) -> Iterator[Found]:
        zone = self.zone_id() if self.managed else ""
        if not zone:
            return
        owner = self.record(zone, OWNER + self.host, "TXT")
        told = self._told(owner)
        record = self.record(zone, self.host, "A")
        if not owner or not record or told.get("uid") != self.ownership.uid:
            return
        yield Found("record", "api", f"{zone} {self.host}", self._properties(record), told.get("stamp", ""))

    def record(self, zone: str, name: str, type: str) -> Mapping[str, Any]:
        answer = self.api.call(
            "route53",
            "list_resource_record_sets",
            HostedZoneId=zone,
            StartRecordName=name,
            StartRecordType=type,
            MaxItems="1",
        )
        found: list[Mapping[str, Any]] = [
            one for one in answer["ResourceRecordSets"] if one["Name"] == f"{name}." and one["Type"] == type
        ]
        return found[0] if found else {}

    @staticmethod
    def _told(record: Mapping[str, Any]) -> dict[str, str]:
        values = [one["Value"].strip('"') for one in record.get("ResourceRecords") or ()]
        return dict(part.split("=", 1) for value in values for part in value.split() if "=" in part)

    @staticmethod
    def _properties(record: Mapping[str, Any]) -> Properties:
        alias = record.get("AliasTarget")
        return {
            "alias": {"name": alias["DNSName"].rstrip("."), "zone": alias["HostedZoneId"]} if alias else None,
            "values": sorted(one["Value"] for one in record.get("ResourceRecords") or ()),
        }

    def _sets(self, properties: Properties, stamp: str) -> list[dict[str, Any]]:
        record: dict[str, Any] = {"Name": self.host, "Type": "A"}
        if properties["alias"]:
            alias = properties["alias"]
            record["AliasTarget"] = {
                "DNSName": alias["name"],
                "HostedZoneId": alias["zone"],
                "EvaluateTargetHealth": False,
            }
        else:
            record |= {"TTL": 30, "ResourceRecords": [{"Value": value} for value in properties["values"]]}
        told = f'"cluster={self.ownership.infra_id} uid={self.ownership.uid} stamp={stamp}"'
        owner = {"Name": OWNER + self.host, "Type": "TXT", "TTL": 300, "ResourceRecords": [{"Value": told}]}
        return [owner, record]

    def _change(
        self, about: str, action: str, zone: str, sets: Sequence[Mapping[str, Any]], gone: bool = False
    ) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": one} for one in sets]}
        self.api.call("route53", "change_resource_record_sets", about=about, HostedZoneId=zone, ChangeBatch=batch)

    def create(self, wanted: Resource, token: str) -> Found:
        zone = self.zone_id()
        if not zone:
            raise ProviderError(f"{wanted.key}: there is no public zone {self.zone}")
        # CREATE, and not UPSERT: a name that somebody else has taken meanwhile is theirs.
        self._change(wanted.key, "CREATE", zone, self._sets(wanted.properties, wanted.stamp))
        return Found("record", wanted.name, f"{zone} {self.host}", wanted.properties, wanted.stamp)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        zone = found.id.split(" ")[0]
        self._change(wanted.key, "UPSERT", zone, self._sets(wanted.properties, wanted.stamp))
        return Found("record", wanted.name, found.id, wanted.properties, wanted.stamp)

    def delete(self, found: Found) -> None:
        zone = found.id.split(" ")[0]
        sets = [self.record(zone, OWNER + self.host, "TXT"), self.record(zone, self.host, "A")]
        there = [one for one in sets if one]
        if there:
            self._change(found.key, "DELETE", zone, there)
