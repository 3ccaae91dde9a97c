# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would make a plan fail half-way, asked before its first step. Only what the plan needs is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..base import Handler
from ..errors import Problem, ProviderError
from ..model import Plan, Resource
from ..reader import nearest
from .arm import ArmHandler, Place, own
from .dns import Record
from .keys import Vault

FREE = "a name that nobody has, or no such resource"


class Preflight:
    def __init__(self, place: Place, cidr: str, handlers: Mapping[str, Handler], plan: Plan) -> None:
        self.place = place
        self.cidr = cidr
        self.api = place.api
        self.handlers = handlers
        self.new = [action.wanted for action in plan.actions if action.verb == "create" and action.wanted]
        self.machines = [one for one in self.new if one.kind == "machine"]

    def problems(self) -> list[Problem]:
        found = [*self.group()] if self.new else []
        if found:
            return found
        found += [*self.network(), *self.names(), *self.world_names(), *self.records()]
        if self.machines:
            found += [*self.sizes(), *self.images()]
        return found

    # -- where it is to go -------------------------------------------------------------------------------

    def group(self) -> Iterator[Problem]:
        """An own group has to be new, and one of somebody else has to be there."""
        name = self.place.group
        makes_it = any(one.kind == "group" for one in self.new)
        there = self.api.call("resource.resource_groups.get", name, gone=True)
        if makes_it and there:
            yield Problem(
                "group/main", f"a resource group {name} exists, and is not this cluster's", FREE, "cluster_name"
            )
        if not makes_it and not there:
            wanted = "one that exists, or none: the cluster then makes its own"
            change = "infrastructure_settings.resource_group"
            yield Problem("settings", f"there is no resource group {name}", wanted, change)

    def network(self) -> Iterator[Problem]:
        """An existing subnet has to be there, and to be the network that the description says."""
        for subnet in sorted({one.properties["subnet"] for one in self.new if _has_subnet(one)}):
            parts = subnet.split("/")
            found = self.api.call("network.subnets.get", parts[4], parts[8], parts[10], gone=True)
            if not found:
                change = "infrastructure_native.azure.subnet_id"
                yield Problem("network", f"there is no subnet {subnet}", "one that exists", change)
                continue
            prefixes = own(found).get("addressPrefixes") or [own(found).get("addressPrefix")]
            if self.cidr not in prefixes:
                seen = f"cidr is {self.cidr}, and that of the subnet {', '.join(prefixes)}"
                yield Problem("network", seen, prefixes[0], "infrastructure_network.cidr")

    # -- names -------------------------------------------------------------------------------------------

    def names(self) -> Iterator[Problem]:
        """Names of the group that somebody else has. A PUT would overwrite what they stand for."""
        if any(one.kind == "group" for one in self.new):
            return
        listed = self.api.pages("resource.resources.list_by_resource_group", self.place.group)
        taken = {(item["type"].lower(), item["name"].lower()) for item in listed}
        for one in self.new:
            handler = self.handlers[one.kind]
            if isinstance(handler, ArmHandler) and handler.TYPE:
                name = handler.at_provider(one.name)
                if (handler.TYPE.lower(), name.lower()) in taken:
                    yield Problem(one.key, f"{handler.TYPE} {name} exists, and is not this cluster's", FREE, one.change)

    def world_names(self) -> Iterator[Problem]:
        """Names that are unique in the whole world."""
        for kind, operation in (
            ("bucket", "storage.storage_accounts.check_name_availability"),
            ("vault", "keyvault.vaults.check_name_availability"),
        ):
            for one in self.new:
                handler = self.handlers[one.kind]
                if one.kind == kind and isinstance(handler, ArmHandler):
                    answer = self.api.call(operation, {"name": handler.at_provider(one.name), "type": handler.TYPE})
                    # A vault of this group that was deleted keeps its name, and comes back.
                    deleted = handler.deleted() if isinstance(handler, Vault) else ""
                    if not answer["nameAvailable"] and not deleted.startswith(f"{self.place.group_id}/"):
                        seen = (
                            f"{deleted} was deleted, and keeps the name" if deleted else answer.get("message", "taken")
                        )
                        yield Problem(one.key, seen, FREE, one.change)

    def records(self) -> Iterator[Problem]:
        for one in self.new:
            handler = self.handlers[one.kind]
            if not isinstance(handler, Record):
                continue
            zone, name = handler.zone.id(), handler.zone.spec.dns.zone
            if not zone:
                wanted = f"a public zone {name} in the subscription, or manage: false"
                yield Problem("dns", f"Azure DNS has no zone {name}", wanted, "infrastructure_dns.zone")
            elif handler.record(zone):
                seen = f"{handler.relative}.{name} has a record that is not this cluster's"
                yield Problem(one.key, seen, FREE, "infrastructure_endpoint.host")

    # -- machines ----------------------------------------------------------------------------------------

    def sizes(self) -> Iterator[Problem]:
        filter = f"location eq '{self.place.location}'"
        listed = self.api.pages("compute.resource_skus.list", filter=filter)
        known = {sku["name"]: sku for sku in listed if sku.get("resourceType") == "virtualMachines"}
        wanted = sorted(
            {(one.properties["size"], one.properties["failure_domain"]): one for one in self.machines}.items()
        )
        for (size, zone), one in wanted:
            subject = f"pool {one.properties['pool']}"
            if size not in known:
                change = f"{one.change}.native.azure.vm_size"
                yield Problem(subject, f"size {size} is not offered here", nearest(size, known), change)
            elif zone and zone not in self._zones(known[size]):
                zones = ", ".join(self._zones(known[size])) or "none"
                seen, offered = f"size {size} is not offered in zone {zone}", f"a zone that has it ({zones})"
                yield Problem(subject, seen, offered, "infrastructure_failure_domains")
        yield from self.quota(known)

    @staticmethod
    def _zones(sku: Mapping[str, Any]) -> list[str]:
        """Where the subscription may have it."""
        offered = {zone for place in sku.get("locationInfo") or () for zone in place.get("zones") or ()}
        for restriction in sku.get("restrictions") or ():
            offered -= set((restriction.get("restrictionInfo") or {}).get("zones") or ())
        return sorted(offered)

    def quota(self, known: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
        """Whether all new machines fit into the cores of their families."""
        usage = {item["name"]["value"]: item for item in self.api.pages("compute.usage.list", self.place.location)}
        needed: Counter[str] = Counter()
        for one in self.machines:
            sku = known.get(one.properties["size"])
            if sku and not one.properties["preemptible"]:
                needed[sku["family"]] += _cores(sku)
        for family, cores in sorted(needed.items()):
            used = usage.get(family)
            if used and used["currentValue"] + cores > used["limit"]:
                yield Problem(
                    "quota",
                    f"new machines need {cores} cores of {family}, and {used['currentValue']} are in use",
                    f"at most {used['limit']} in {self.place.location}",
                    "infrastructure_pools, or have the quota raised",
                )

    def images(self) -> Iterator[Problem]:
        asked: dict[str, Resource] = {str(one.properties["image_reference"]): one for one in self.machines}
        for one in asked.values():
            image = one.properties["image_reference"]
            if "id" in image:
                continue  # of any kind of gallery: whoever names it has made it
            arguments = (self.place.location, image["publisher"], image["offer"], image["sku"])
            try:
                found = self.api.call("compute.virtual_machine_images.list", *arguments, gone=True)
            except ProviderError:
                found = None  # some unknown names are an error, others an empty list
            if not found:
                yield Problem(
                    f"pool {one.properties['pool']}",
                    f"there is no image {':'.join(arguments[1:])} in {self.place.location}",
                    "an image of this location",
                    f"{one.change}.image, or {one.change}.native.azure.image",
                )


def _has_subnet(one: Resource) -> bool:
    return one.kind == "interface" and isinstance(one.properties["subnet"], str)


def _cores(sku: Mapping[str, Any]) -> int:
    values = [item["value"] for item in sku.get("capabilities") or () if item["name"] == "vCPUs"]
    return int(values[0]) if values else 0
