# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure can never do of a description, whatever the account. Offline."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem
from ..reader import nearest
from ..spec import Pool, Spec
from .settings import NativeNetwork, NativePool, Settings
from .sizes import IMAGES, image, largest, vm_size

DATA_DISKS = 64


def settings(value: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    Settings.read(value, problems)
    return problems


def description(spec: Spec, azure: Settings) -> list[Problem]:
    problems: list[Problem] = []
    NativeNetwork.read(spec, problems)
    problems += _whole(spec, azure)
    for pool in spec.pools:
        problems += _pool(pool, NativePool.read(pool, problems))
    return problems


def _whole(spec: Spec, azure: Settings) -> Iterator[Problem]:
    cidr, mode = spec.network.cidr, spec.endpoint.mode
    network = ipaddress.ip_network(cidr)
    if spec.network.mode == "managed" and not (network.version == 4 and 8 <= network.prefixlen <= 29):
        wanted = "an IPv4 network with a prefix from /8 to /29"
        yield Problem("network", f"cidr is {cidr}", wanted, "infrastructure_network.cidr")
    if mode not in ("auto", "balancer"):
        # Addresses do not move by themselves in a virtual network.
        yield Problem("endpoint", f"mode is {mode!r}", "balancer or auto", "infrastructure_endpoint.mode")
    if spec.keys and not azure.tenant_id:
        wanted = "the UUID of the subscription's directory, which key vaults ask for"
        yield Problem("settings", "tenant_id is not set", wanted, "infrastructure_settings.tenant_id")
    if spec.pools and not spec.access.authorized_keys:
        wanted = "a public key: Azure makes no Linux machine without one"
        yield Problem("access", "authorized_keys is empty", wanted, "infrastructure_access.authorized_keys")


def _pool(pool: Pool, native: NativePool) -> Iterator[Problem]:
    subject, variable = f"pool {pool.name}", f"infrastructure_pools[{pool.name}]"
    if not native.vm_size and not vm_size(pool.cpu, pool.memory_gib, pool.architecture):
        seen = f"wants {pool.cpu} CPUs and {pool.memory_gib} GiB"
        yield Problem(subject, seen, largest(pool.architecture), f"{variable}.cpu")
    if not native.image_id and not native.image and not image(pool):
        known = [name for name, own in IMAGES.items() if pool.architecture in own]
        wanted = f"{nearest(str(pool.image), known)}, or native.azure.image"
        yield Problem(subject, f"image is {pool.image}", wanted, f"{variable}.image")
    if len(pool.data_disks) > DATA_DISKS:
        seen, wanted = f"has {len(pool.data_disks)} data disks", f"{DATA_DISKS} at most"
        yield Problem(subject, seen, wanted, f"{variable}.data_disks")
