# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a host's certificates, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

EXPIRED = "expired"
# Who renews a certificate.
TIMER = "timer"
PLAYBOOK = "playbook"
KUBELET = "kubelet"
NOBODY = "nobody"


@dataclass(frozen=True)
class Certificate:
    """`reason`: why it has to be renewed; empty when it need not. `note`: what else is the matter with it."""

    name: str
    path: str
    renewed_by: str
    begins: datetime | None
    ends: datetime | None
    reason: str = ""
    note: str = ""

    @property
    def expired(self) -> bool:
        return self.reason == EXPIRED

    def left(self, now: datetime) -> float:
        """Return the share of its life that is left; 0 when that is not known."""
        if self.begins is None or self.ends is None:
            return 0.0
        return max(0.0, (self.ends - now) / (self.ends - self.begins))


@dataclass(frozen=True)
class Plan:
    """`at_once`: what has expired, serves nobody and needs no leave. `with_leave`: what is due, and has to wait for a
    cluster that is well. `elsewhere`: what is due and cannot be renewed by this host. Names of certificates."""

    at_once: tuple[str, ...] = ()
    with_leave: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


def plan(certificates: Sequence[Certificate]) -> Plan:
    """Return what has to be done, in the order in which the certificates are given."""
    due = [certificate for certificate in certificates if certificate.reason]
    own = [certificate for certificate in due if certificate.renewed_by == TIMER]
    return Plan(
        tuple(certificate.name for certificate in own if certificate.expired),
        tuple(certificate.name for certificate in own if not certificate.expired),
        tuple(certificate.name for certificate in due if certificate.renewed_by == PLAYBOOK),
    )
