# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a cluster's infrastructure: portable, typed, and complete before any provider is asked.

Only the `native` mappings know of a provider. Everything is frozen, and what a reader may leave out is filled in here,
so that strategies find every value where the type says it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ROLES = ("etcd", "control_plane", "worker", "mirror", "object_store", "backup")
# Machines with these roles hold what a cluster cannot be without: they are replaced one at a time.
QUORUM_ROLES = frozenset({"etcd", "control_plane"})
GRANTS = (
    "balancer.manage",
    "bucket.read",
    "bucket.write",
    "dns.write",
    "key.use",
    "machine.read",
    "volume.attach",
)
# Two clusters of one name have different endpoints, and an endpoint's DNS name belongs to one cluster for its life.
NAMESPACE = uuid.UUID("0f2bd6d5-3f0e-5d83-9c1c-5c7e3b0d6a11")


@dataclass(frozen=True)
class Disk:
    """storage: `standard` or `fast`; each provider has its own names for them."""

    name: str
    size_gib: int
    storage: str = "standard"
    encrypted: bool = True


@dataclass(frozen=True)
class Image:
    """An operating system by its portable name: debian 12."""

    os: str
    version: str

    def __str__(self) -> str:
        return f"{self.os}/{self.version}"


@dataclass(frozen=True)
class Pool:
    """Machines that are alike. `count` of them, named `<pool>-1` and so on."""

    name: str
    roles: tuple[str, ...]
    count: int
    cpu: int
    memory_gib: int
    architecture: str
    image: Image
    root_disk: Disk
    data_disks: tuple[Disk, ...] = ()
    spread: str = "soft"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    preemptible: bool = False
    native: Mapping[str, Any] = field(default_factory=dict)

    def machines(self) -> list[str]:
        return [f"{self.name}-{number}" for number in range(1, self.count + 1)]

    def failure_domain(self, domains: Sequence[str], number: int) -> str:
        """Whose turn it is with a machine, counted from 0; nothing where there are no domains."""
        return domains[0 if self.spread == "none" else number % len(domains)] if domains else ""


@dataclass(frozen=True)
class Network:
    """mode: `managed` makes one, `existing` takes the one that `native` names. egress: nat, direct or none.

    apart: networks that it may not overlap with, such as those of pods and Services.
    """

    cidr: str
    mode: str = "managed"
    egress: str = "direct"
    apart: tuple[str, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """The API's DNS name and how it leads to the machines. mode: auto, balancer, vip or dns."""

    host: str
    port: int = 6443
    mode: str = "auto"
    public: bool = True
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dns:
    """The zone that holds the endpoint's name. `manage` is false where somebody else keeps the records."""

    zone: str = ""
    manage: bool = False


@dataclass(frozen=True)
class Bucket:
    name: str
    versioning: bool = True
    lock_days: int = 0


@dataclass(frozen=True)
class Key:
    """A key for the encryption of disks; `disks` says that all disks of the machines use it."""

    name: str
    disks: bool = True


@dataclass(frozen=True)
class Identity:
    """What the machines of these pools may do with the provider's API, as verbs."""

    name: str
    pools: tuple[str, ...]
    grants: tuple[str, ...]


@dataclass(frozen=True)
class Port:
    """One entry of the port table, with its sources resolved to networks. `first` and `last` are 0 for VRRP."""

    name: str
    protocol: str
    first: int
    last: int
    roles: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Access:
    """Who may log in at first boot: a user name (empty: the image's own) and public keys."""

    user: str = ""
    authorized_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spec:
    name: str
    network: Network
    endpoint: Endpoint
    pools: tuple[Pool, ...] = ()
    failure_domains: tuple[str, ...] = ()
    dns: Dns = Dns()
    buckets: tuple[Bucket, ...] = ()
    keys: tuple[Key, ...] = ()
    identities: tuple[Identity, ...] = ()
    access: Access = Access()
    ports: tuple[Port, ...] = ()
    native: Mapping[str, Any] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The cluster's own id, the same at every run: the second ownership tag."""
        return str(uuid.uuid5(NAMESPACE, f"{self.name}/{self.endpoint.host}"))

    @property
    def infra_id(self) -> str:
        """The prefix of names at the provider: a twin of the same name has another one."""
        return f"{self.name}-{self.uid[:5]}"

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(role for pool in self.pools for role in pool.roles)

    def pool(self, machine: str) -> Pool:
        """The pool of a machine, by the machine's name."""
        return next(pool for pool in self.pools if machine in pool.machines())

    def machines(self) -> list[tuple[str, Pool]]:
        return [(machine, pool) for pool in self.pools for machine in pool.machines()]

    def identity_of(self, pool: Pool) -> Identity | None:
        return next((identity for identity in self.identities if pool.name in identity.pools), None)

    @property
    def disk_key(self) -> Key | None:
        return next((key for key in self.keys if key.disks), None)
