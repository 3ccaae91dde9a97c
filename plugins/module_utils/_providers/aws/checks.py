# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS can never do of a description, whatever the account. Offline."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem, ProviderError
from ..reader import nearest
from ..spec import Pool, Spec
from .api import MISSING
from .desired import IMAGES, PUBLIC
from .settings import NativeNetwork, NativePool, Settings
from .sizes import instance_type, largest
from .volumes import DEVICES


def settings(value: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    aws = Settings.read(value, problems)
    known = regions()
    if not problems and aws.region not in known:
        change = "infrastructure_settings.region"
        problems.append(Problem("settings", f"region is {aws.region!r}", nearest(aws.region, known), change))
    return problems


@functools.lru_cache(maxsize=1)
def regions() -> frozenset[str]:
    """All that the SDK knows, without asking anyone."""
    try:
        import boto3
    except ImportError as error:
        raise ProviderError(MISSING.format(error)) from error
    session = boto3.Session()
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition)
    )


def description(spec: Spec) -> list[Problem]:
    problems: list[Problem] = []
    native = NativeNetwork.read(spec, problems)
    problems += _network(spec, native)
    for pool in spec.pools:
        problems += _pool(pool, NativePool.read(pool, problems))
    return problems


def _network(spec: Spec, native: NativeNetwork) -> Iterator[Problem]:
    cidr, mode = spec.network.cidr, spec.endpoint.mode
    network = ipaddress.ip_network(cidr)
    if spec.network.mode == "managed" and not (network.version == 4 and 16 <= network.prefixlen <= 24):
        wanted = "an IPv4 network with a prefix from /16 to /24"
        yield Problem("network", f"cidr is {cidr}", wanted, "infrastructure_network.cidr")
    if mode not in ("auto", "balancer"):
        # Addresses do not move by themselves in a VPC.
        yield Problem("endpoint", f"mode is {mode!r}", "balancer or auto", "infrastructure_endpoint.mode")
    count = len(spec.failure_domains)
    if count > PUBLIC:
        yield Problem("failure domains", f"there are {count}", f"{PUBLIC} at most", "infrastructure_failure_domains")
    lacking = sorted(set(spec.failure_domains) - set(native.subnet_ids or {}))
    if spec.network.mode == "existing" and lacking:
        change = "infrastructure_native.aws.subnet_ids"
        yield Problem("native.aws", f"subnet_ids lacks {', '.join(lacking)}", "one for each failure domain", change)


def _pool(pool: Pool, native: NativePool) -> Iterator[Problem]:
    subject, variable = f"pool {pool.name}", f"infrastructure_pools[{pool.name}]"
    if not native.instance_type and not instance_type(pool.cpu, pool.memory_gib, pool.architecture):
        seen = f"wants {pool.cpu} CPUs and {pool.memory_gib} GiB"
        yield Problem(subject, seen, largest(pool.architecture), f"{variable}.cpu")
    if not native.image_id and pool.image.os not in IMAGES:
        wanted = f"{nearest(pool.image.os, IMAGES)}, or native.aws.image_id"
        yield Problem(subject, f"image.os is {pool.image.os!r}", wanted, f"{variable}.image.os")
    if len(pool.data_disks) > len(DEVICES):
        seen, wanted = f"has {len(pool.data_disks)} data disks", f"{len(DEVICES)} at most"
        yield Problem(subject, seen, wanted, f"{variable}.data_disks")
