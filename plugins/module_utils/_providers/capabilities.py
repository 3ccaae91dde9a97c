# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a provider may be able to do, and what stands in where it is not. Nothing is ever left out in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .errors import Problem
from .spec import Spec

BALANCER = "balancer"  # a load balancer for TCP
DNS = "dns"  # zones and records by an API
BUCKET = "bucket"  # object storage that speaks S3
BUCKET_LOCK = "bucket.lock"
IDENTITY = "identity"  # machines may use the API without stored credentials
KEY = "key"  # keys for the encryption of disks
VOLUME = "volume"  # disks apart from the machine
PREEMPTIBLE = "preemptible"
CONSOLE = "console"  # what a machine writes on its console can be read

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Decision:
    """What the description leaves to the provider, and what was chosen, to be shown to the user."""

    about: str
    chosen: str
    because: str


def endpoint_mode(spec: Spec, capabilities: frozenset[str], provider: str) -> Decision:
    """How clients get to the API: `balancer`, `vip` or `dns`."""
    if spec.endpoint.mode != "auto":
        return Decision("endpoint.mode", spec.endpoint.mode, "the description says so")
    if BALANCER in capabilities:
        return Decision("endpoint.mode", "balancer", f"{provider} has load balancers")
    return Decision("endpoint.mode", "vip", f"{provider} has no load balancer")


def _asked(spec: Spec) -> list[tuple[str, bool, str, str]]:
    """What a description may ask for: (capability, whether it does, where, what it can be changed to)."""
    return [
        (BALANCER, spec.endpoint.mode == "balancer", "endpoint.mode", "vip or auto"),
        (DNS, spec.dns.manage, "dns.manage", "false, and the records in a zone of yours"),
        (BUCKET, bool(spec.buckets), "buckets", "none, and machines with the role object_store"),
        (BUCKET_LOCK, any(bucket.lock_days for bucket in spec.buckets), "buckets[].lock_days", "0"),
        (IDENTITY, bool(spec.identities), "identities", "none, and credentials of yours"),
        (KEY, bool(spec.keys), "keys", "none"),
        (VOLUME, any(pool.data_disks for pool in spec.pools), "pools[].data_disks", "none"),
        (PREEMPTIBLE, any(pool.preemptible for pool in spec.pools), "pools[].preemptible", "false"),
    ]


def problems(
    spec: Spec, capabilities: frozenset[str], provider: str, fallbacks: Mapping[str, str] = NOTHING
) -> list[Problem]:
    """What is asked for and cannot be had, and nothing stands in for, each with what to do in its place."""
    return [
        Problem("description", f"{name} needs {capability}, which {provider} lacks", wanted, f"infrastructure_{name}")
        for capability, wants, name, wanted in _asked(spec)
        if wants and capability not in capabilities and capability not in fallbacks
    ]


def decisions(
    spec: Spec, capabilities: frozenset[str], provider: str, fallbacks: Mapping[str, str] = NOTHING
) -> list[Decision]:
    """All that the provider does in another way than the description's words suggest."""
    return [endpoint_mode(spec, capabilities, provider)] + [
        Decision(name, fallbacks[capability], f"{provider} has no {capability}")
        for capability, wants, name, _wanted in _asked(spec)
        if wants and capability not in capabilities and capability in fallbacks
    ]
