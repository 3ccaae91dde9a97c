# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines, and the groups that keep those of a pool apart."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..base import Handler
from ..errors import ProviderError, TransientError
from ..model import Change, Found, Kind, Resource
from ..ownership import Ownership
from ..patience import Patience
from .api import Api
from .offer import Offer

Json = Mapping[str, Any]
# What Nova has no field for is kept in metadata.
POOL, ROLES, IMAGE, ROOT_DISK, SIZE, FLAVOR, PORT = (
    f"caravan.cluster.{name}" for name in ("pool", "roles", "image", "root-disk", "size", "flavor", "port")
)
# The first machine on a host may wait for its image. One machine is asked about, and not all of them.
BUILDING = Patience(limit=900, first=0.3, longest=2)
# A machine on its way, and one that is none any more.
COMING, GONE = frozenset({"BUILD"}), frozenset({"DELETED", "SOFT_DELETED"})


class ServerGroup(Handler):
    """policy: of Nova, whether machines must, or had better, be on hosts apart.

    Groups have nothing but a name, so that the cluster's uid is in it.
    """

    kind = Kind("server_group", replaceable=False)

    def __init__(self, api: Api, ownership: Ownership) -> None:
        self.api = api
        self.ownership = ownership

    @property
    def prefix(self) -> str:
        return f"{self.ownership.infra_id} {self.ownership.uid} "

    def observe(self) -> Iterator[Found]:
        for item in self.api.pages("compute", "/os-server-groups", "server_groups"):
            if item["name"].startswith(self.prefix):
                yield self._found(item)

    def _found(self, item: Json) -> Found:
        return Found("server_group", item["name"][len(self.prefix) :], item["id"], {"policy": item["policy"]})

    def create(self, wanted: Resource, token: str) -> Found:
        body = {"server_group": {"name": self.prefix + wanted.name, "policy": wanted.properties["policy"]}}
        return self._found(
            self.api.call("compute", "POST", "/os-server-groups", body, about=wanted.key)["server_group"]
        )

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        raise ProviderError(f"{wanted.key}: nothing of a server group can be changed")

    def delete(self, found: Found) -> None:
        self.api.call("compute", "DELETE", f"/os-server-groups/{found.id}", about=found.key, gone=True)


class Machine(Handler):
    """size: what was asked for; flavor, source: how to look up the flavor and the image for it, at creation.

    root_disk: `<GiB> <volume type>`.

    failed: whether Nova could not make it, which makes it be replaced.
    """

    kind = Kind(
        "machine",
        needs=("port", "server_group"),
        mutable=frozenset({"roles", "pool", "running"}),
        create_only=frozenset({"user_data", "flavor", "source", "server_group"}),
    )

    def __init__(self, api: Api, ownership: Ownership, offer: Offer) -> None:
        self.api = api
        self.ownership = ownership
        self.offer = offer

    # -- what is there -----------------------------------------------------------------------------------------

    @property
    def tag(self) -> str:
        """What Nova filters by. Tags hold less than metadata, where all the rest is."""
        return f"{self.ownership.uid_tag}={self.ownership.uid}"

    def observe(self) -> Iterator[Found]:
        """With their addresses, which are Neutron's: two lists more, whatever the number of machines."""
        items = [
            item
            for item in self.api.pages("compute", "/servers/detail", "servers", tags=self.tag, limit=500)
            if self.ownership.owns(item["metadata"]) and item["status"] not in GONE and not _deleting(item)
        ]
        # Those on their way have none yet.
        ports = self._ports() if any(item["status"] not in COMING for item in items) else {}
        for item in items:
            port, addresses = ports.get(item["id"], (None, []))
            yield self._found(item, port, addresses)

    def _ports(self) -> dict[str, tuple[str, list[dict[str, str]]]]:
        """The port and the addresses of each machine."""
        project = self.api.project()
        outside = {
            item["port_id"]: item["floating_ip_address"]
            for item in self.api.pages("network", "/floatingips", "floatingips", project_id=project, limit=500)
        }
        found = {}
        for item in self.api.pages("network", "/ports", "ports", project_id=project, limit=500):
            addresses = [{"type": "InternalIP", "value": one["ip_address"]} for one in item["fixed_ips"]]
            if item["id"] in outside:
                addresses.append({"type": "ExternalIP", "value": outside[item["id"]]})
            found[item["device_id"]] = (item["id"], addresses)
        return found

    def _found(self, item: Json, port: str | None, addresses: list[dict[str, str]]) -> Found:
        metadata = item["metadata"]
        flavor = item["flavor"]["original_name"]
        # A machine that somebody gave another flavor is not what was asked for.
        size = metadata.get(SIZE, "") if flavor == metadata.get(FLAVOR) else flavor
        properties = {
            "pool": metadata.get(POOL, ""),
            "roles": sorted(metadata.get(ROLES, "").split()),
            "image": metadata.get(IMAGE, ""),
            "root_disk": metadata.get(ROOT_DISK, ""),
            "failure_domain": item.get("OS-EXT-AZ:availability_zone") or "",
            "size": size,
            # Neutron hears of the machine when Nova has found a host for it.
            "port": port or (metadata.get(PORT) if item["status"] in COMING else None),
            "running": item["status"] in ("ACTIVE", "BUILD", "REBOOT", "HARD_REBOOT", "PASSWORD"),
            "failed": item["status"] == "ERROR",
        }
        details = {
            # As the cloud controller writes it.
            "provider_id": f"openstack:///{item['id']}",
            "state": {"BUILD": "building"}.get(item["status"], item["status"].lower()),
            # The cloud controller wants nodes to be called as Nova calls the machines.
            "addresses": [*addresses, {"type": "Hostname", "value": item["name"]}],
        }
        stamp = self.ownership.stamp(metadata)
        name = self.ownership.name(metadata)
        return Found("machine", name, item["id"], properties, stamp, details, item.get("created") or "")

    # -- changes -----------------------------------------------------------------------------------------------

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        size, type = own["root_disk"].split(" ", 1)
        flavor, image = self.offer.flavor(own["flavor"]), self.offer.image(own["source"])
        if not flavor or not image:
            raise ProviderError(f"{wanted.key}: there is no {'image' if flavor else 'flavor'} for it any more")
        metadata = {
            **self.ownership.tags(wanted.name),
            POOL: own["pool"],
            ROLES: " ".join(own["roles"]),
            IMAGE: own["image"],
            ROOT_DISK: own["root_disk"],
            SIZE: own["size"],
            FLAVOR: flavor["name"],
            PORT: own["port"],
        }
        disk = {
            "boot_index": 0,
            "uuid": image["id"],
            "source_type": "image",
            "destination_type": "volume",
            "volume_size": int(size),
            "volume_type": type,
            "delete_on_termination": True,
        }
        server = {
            "name": f"{self.ownership.infra_id}-{wanted.name}",
            "flavorRef": flavor["id"],
            "imageRef": "",
            "networks": [{"port": own["port"]}],
            "block_device_mapping_v2": [disk],
            "metadata": metadata,
            "tags": [self.tag],
            "user_data": base64.b64encode(own["user_data"].encode()).decode(),
            **({"availability_zone": own["failure_domain"]} if own["failure_domain"] else {}),
        }
        hints = {"os:scheduler_hints": {"group": own["server_group"]}} if own["server_group"] else {}
        answer = self.api.call("compute", "POST", "/servers", {"server": server, **hints}, about=wanted.key)
        return self._finish(answer["server"]["id"], wanted)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        if not found.properties["running"]:
            self._start(found)
        return self._finish(found.id, wanted)

    def _start(self, found: Found) -> None:
        status = self._get(found.id, found.key)["status"]
        if status == "SHUTOFF":
            self.api.call("compute", "POST", f"/servers/{found.id}/action", {"os-start": None}, about=found.key)
        elif status not in ("ACTIVE", "BUILD", "ERROR"):
            verbs = {"PAUSED": "unpause", "SUSPENDED": "resume", "SHELVED_OFFLOADED": "unshelve", "SHELVED": "unshelve"}
            if status not in verbs:
                raise ProviderError(f"{found.key}: it is {status}, and has to be looked at")
            self.api.call("compute", "POST", f"/servers/{found.id}/action", {verbs[status]: None}, about=found.key)

    def _running(self, id: str, wanted: Resource) -> dict[str, Any]:
        item = self._get(id, wanted.key)
        if item["status"] == "ERROR":
            fault = (item.get("fault") or {}).get("message", "Nova does not say why")
            raise ProviderError(f"{wanted.key}: Nova could not make it: {fault}")
        if item["status"] != "ACTIVE":
            raise TransientError(f"{wanted.key}: it is {item['status']}")
        return item

    def _get(self, id: str, about: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.call("compute", "GET", f"/servers/{id}", about=about)["server"]
        return found

    def _finish(self, id: str, wanted: Resource) -> Found:
        """Once it runs, note that it is finished: a disk can be attached to a machine that runs, and to no other."""
        item = BUILDING(lambda attempts: self._running(id, wanted))
        own = wanted.properties
        kept = {POOL: own["pool"], ROLES: " ".join(own["roles"]), self.ownership.stamp_tag: wanted.stamp}
        path = f"/servers/{id}/metadata"
        self.api.call("compute", "POST", path, {"metadata": kept}, about=wanted.key)
        item["metadata"] = {**item["metadata"], **kept}
        return self._found(item, own["port"], [])

    def delete(self, found: Found) -> None:
        self.api.call("compute", "DELETE", f"/servers/{found.id}", about=found.key, gone=True)
        # Its port is free for the next machine when it is gone, and not before.
        if self.api.call("compute", "GET", f"/servers/{found.id}", about=found.key, gone=True):
            raise TransientError(f"{found.key}: still deleting")


def _deleting(item: Json) -> bool:
    return item.get("OS-EXT-STS:task_state") == "deleting"


def console(api: Api, machine: str) -> str:
    """What a machine has written so far; empty while there is nothing to read."""
    answer = api.call("compute", "POST", f"/servers/{machine}/action", {"os-getConsoleOutput": {}}, about="console")
    return str(answer["output"] or "")
