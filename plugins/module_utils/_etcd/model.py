# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of an etcd cluster and of the hosts that should be its members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class EtcdError(Exception):
    """etcd refused, did not answer, or going on would risk the quorum; the message says what was seen."""


@dataclass(frozen=True)
class Member:
    """One entry of the member list. Only a member that has been started once has client URLs."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...] = ()
    learner: bool = False
    healthy: bool = False

    @property
    def started(self) -> bool:
        return bool(self.client_urls)

    @property
    def title(self) -> str:
        return self.name or ",".join(self.peer_urls)


@dataclass(frozen=True)
class Cluster:
    """The member list as a member with quorum gave it in a linearizable read."""

    id: int
    members: tuple[Member, ...]

    @property
    def voters(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if not member.learner)

    def by_id(self, member_id: int | None) -> Member | None:
        return next((member for member in self.members if member.id == member_id), None)

    def by_name(self, name: str, peer_url: str | None = None) -> Member | None:
        """The member of that name; or of that peer URL, for one that was added but never started has no name."""
        named = next((member for member in self.members if member.name == name), None)
        return named or next((member for member in self.members if peer_url in member.peer_urls), None)


@dataclass(frozen=True)
class Host:
    """What was seen on a host: its data directory, the record of its membership, and its service.

    `record` is `{"state": "bootstrap"|"member", ...}` as kept outside the data directory, so that data which was
    lost, or a volume which was not mounted, is not taken for a new machine.
    """

    name: str
    reached: bool = True
    has_data: bool = False
    member_id: int | None = None
    cluster_id: int | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    active: bool = False
    enabled: bool = False
    stale: bool = False


def members_to_plain(cluster: Cluster | None) -> dict[str, Any] | None:
    """For a module's result. IDs are text: they do not fit into the numbers of every JSON reader."""
    if cluster is None:
        return None
    return {
        "id": str(cluster.id),
        "members": [
            {
                "id": str(member.id),
                "name": member.name,
                "peer_urls": list(member.peer_urls),
                "client_urls": list(member.client_urls),
                "learner": member.learner,
                "healthy": member.healthy,
            }
            for member in cluster.members
        ],
    }


def cluster_from_plain(plain: Mapping[str, Any] | None) -> Cluster | None:
    if not plain:
        return None
    return Cluster(
        int(plain["id"]),
        tuple(
            Member(
                id=int(member["id"]),
                name=member["name"],
                peer_urls=tuple(member["peer_urls"]),
                client_urls=tuple(member["client_urls"]),
                learner=bool(member["learner"]),
                healthy=bool(member["healthy"]),
            )
            for member in plain["members"]
        ),
    )


def host_to_plain(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "reached": host.reached,
        "has_data": host.has_data,
        "member_id": None if host.member_id is None else str(host.member_id),
        "cluster_id": None if host.cluster_id is None else str(host.cluster_id),
        "record": dict(host.record),
        "active": host.active,
        "enabled": host.enabled,
        "stale": host.stale,
    }


def host_from_plain(plain: Mapping[str, Any]) -> Host:
    return Host(
        name=plain["name"],
        reached=bool(plain["reached"]),
        has_data=bool(plain["has_data"]),
        member_id=None if plain["member_id"] is None else int(plain["member_id"]),
        cluster_id=None if plain["cluster_id"] is None else int(plain["cluster_id"]),
        record=dict(plain["record"]),
        active=bool(plain["active"]),
        enabled=bool(plain["enabled"]),
        stale=bool(plain["stale"]),
    )
