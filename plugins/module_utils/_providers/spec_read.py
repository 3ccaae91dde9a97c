# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the inventory's variables to a Spec: every mistake found offline, each as one problem."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from .errors import InvalidError, Problem
from .reader import Reader
from .spec import (
    GRANTS,
    ROLES,
    Access,
    Bucket,
    Disk,
    Dns,
    Endpoint,
    Identity,
    Image,
    Key,
    Network,
    Pool,
    Port,
    Spec,
)

PREFIX = "infrastructure"


def read(value: Mapping[str, Any]) -> Spec:
    """The Spec of a mapping with the names of Spec's fields. Raise InvalidError with all that is wrong with it."""
    problems: list[Problem] = []
    top = Reader(value, "description", PREFIX, problems, joint="_")
    spec = Spec(
        name=top.label("name"),
        network=_network(top.section("network")),
        endpoint=_endpoint(top.section("endpoint")),
        # A failure domain is the provider's own word (`eu-central-1a`), which only its strategy can check.
        failure_domains=top.words("failure_domains"),
        pools=top.sections("pools", "pool", _pool),
        dns=_dns(top.section("dns")),
        buckets=top.sections("buckets", "bucket", _bucket),
        keys=top.sections("keys", "key", _key),
        identities=top.sections("identities", "identity", _identity),
        access=_access(top.section("access")),
        ports=top.sections("ports", "port", _port),
        native=top.mapping("native"),
    )
    top.end()
    problems += _together(spec)
    if problems:
        raise InvalidError(problems)
    return spec


def _network(reader: Reader) -> Network:
    network = Network(
        cidr=reader.cidr("cidr"),
        mode=reader.choice("mode", ("managed", "existing"), "managed"),
        egress=reader.choice("egress", ("direct", "nat", "none"), "direct"),
        apart=reader.cidrs("apart"),
    )
    reader.end()
    return network


def _endpoint(reader: Reader) -> Endpoint:
    endpoint = Endpoint(
        host=reader.domain("host"),
        port=reader.number("port", 6443, 1, 65535),
        mode=reader.choice("mode", ("auto", "balancer", "vip", "dns"), "auto"),
        public=reader.flag("public", True),
        allow=reader.cidrs("allow"),
    )
    reader.end()
    return endpoint


def _disk(reader: Reader, name: str) -> Disk:
    return Disk(
        name=name,
        size_gib=reader.number("size_gib", low=1, high=65536),
        storage=reader.choice("storage", ("standard", "fast"), "standard"),
        encrypted=reader.flag("encrypted", True),
    )


def _data_disk(reader: Reader) -> Disk:
    return _disk(reader, reader.label("name"))


def _pool(reader: Reader) -> Pool:
    image = reader.section("image", f"{reader.subject}, image")
    root = reader.section("root_disk", f"{reader.subject}, root_disk")
    pool = Pool(
        name=reader.label("name"),
        roles=reader.words("roles", ROLES),
        count=reader.number("count", high=5000),
        cpu=reader.number("cpu", low=1, high=1024),
        memory_gib=reader.number("memory_gib", low=1, high=24576),
        architecture=reader.choice("architecture", ("amd64", "arm64"), "amd64"),
        image=Image(os=image.text("os", "debian"), version=image.text("version", "12")),
        root_disk=_disk(root, "root"),
        data_disks=reader.sections("data_disks", f"{reader.subject}, disk", _data_disk),
        spread=reader.choice("spread", ("soft", "hard", "none"), "soft"),
        labels=reader.mapping("labels"),
        taints=reader.words("taints"),
        preemptible=reader.flag("preemptible", False),
        native=reader.mapping("native"),
    )
    image.end()
    root.end()
    if not pool.roles:
        reader.problem("is empty", "at least one of " + ", ".join(ROLES), "roles")
    return pool


def _dns(reader: Reader) -> Dns:
    zone = reader.domain("zone", "")
    dns = Dns(zone=zone, manage=reader.flag("manage", bool(zone)))
    reader.end()
    return dns


def _bucket(reader: Reader) -> Bucket:
    bucket = Bucket(
        name=reader.label("name"),
        versioning=reader.flag("versioning", True),
        lock_days=reader.number("lock_days", 0, 0, 36500),
    )
    if bucket.lock_days and not bucket.versioning:
        reader.problem("is false, and lock_days is set", "true: a lock protects versions", "versioning")
    return bucket


def _key(reader: Reader) -> Key:
    return Key(name=reader.label("name"), disks=reader.flag("disks", True))


def _identity(reader: Reader) -> Identity:
    return Identity(name=reader.label("name"), pools=reader.words("pools"), grants=reader.words("grants", GRANTS))


def _access(reader: Reader) -> Access:
    access = Access(user=reader.text("user", ""), authorized_keys=reader.words("authorized_keys"))
    reader.end()
    return access


def _port(reader: Reader) -> Port:
    protocol = reader.choice("protocol", ("tcp", "udp", "vrrp"))
    first = reader.number("first", 0, 0, 65535)
    port = Port(
        name=reader.text("name"),
        protocol=protocol,
        first=first,
        last=reader.number("last", first, 0, 65535),
        roles=reader.words("roles"),
        sources=reader.cidrs("sources"),
    )
    if port.last < port.first or (protocol != "vrrp" and not port.first):
        reader.problem(f"are {port.first} and {port.last}", "ports in ascending order", "first, last")
    return port


def _together(spec: Spec) -> list[Problem]:
    """What no single value shows."""
    problems = []
    names = [pool.name for pool in spec.pools]
    for identity in spec.identities:
        for unknown in sorted(set(identity.pools) - set(names)):
            problems.append(
                Problem(
                    f"identity {identity.name}",
                    f"pools has {unknown!r}, which is no pool",
                    "one of " + ", ".join(names),
                    f"{PREFIX}_identities",
                )
            )
    for one, other in combinations(spec.identities, 2):
        for pool in sorted(set(one.pools) & set(other.pools)):
            problems.append(
                Problem(
                    f"pool {pool}",
                    f"is in the identities {one.name} and {other.name}",
                    "one identity for each pool",
                    f"{PREFIX}_identities",
                )
            )
    etcd = sum(pool.count for pool in spec.pools if "etcd" in pool.roles)
    if etcd and etcd not in (1, 3, 5, 7):
        problems.append(
            Problem("pools", f"{etcd} machines have the role etcd", "1, 3, 5 or 7", f"{PREFIX}_pools[].count")
        )
    if len([key for key in spec.keys if key.disks]) > 1:
        problems.append(
            Problem("keys", "more than one is for disks", "disks: true for one at most", f"{PREFIX}_keys[].disks")
        )
    problems += overlapping(
        {f"{PREFIX}_network.cidr": spec.network.cidr, **{cidr: cidr for cidr in spec.network.apart}}
    )
    zone, host = spec.dns.zone, spec.endpoint.host
    if spec.dns.manage and host and not host.endswith(f".{zone}"):
        problems.append(
            Problem("dns", f"zone is {zone!r}, the endpoint {host}", "a zone that holds it", f"{PREFIX}_dns.zone")
        )
    return problems


def overlapping(networks: Mapping[str, str]) -> list[Problem]:
    """Networks that may not overlap, by the variable that sets each."""
    parsed = {name: ipaddress.ip_network(cidr) for name, cidr in networks.items() if cidr}
    return [
        Problem("networks", f"{parsed[one]} and {parsed[other]} overlap", "networks apart", one)
        for one, other in combinations(parsed, 2)
        if parsed[one].version == parsed[other].version and parsed[one].overlaps(parsed[other])
    ]
