# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the contract's tests ask of a provider's stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.caravan.cluster.plugins.module_utils._providers.base import Strategy
from traffic import Traffic


@dataclass(frozen=True)
class Drifted:
    """Somebody else changes one property of one resource. `change` does it, at the server and not through us."""

    key: str
    field: str
    change: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.key} {self.field}"


class Backend(Protocol):
    traffic: Traffic

    def description(self, name: str = "demo", **changes: Any) -> dict[str, Any]:
        """One machine with etcd and the control plane, and one worker with a data disk; all else that there is."""

    def strategy(self, description: dict[str, Any]) -> Strategy:
        """Pointed at the stand-in."""

    def everything(self) -> frozenset[str]:
        """The ids of all resources of the account, whosoever they are."""

    def drifts(self, engine: Any) -> Sequence[Drifted]:
        """One for each property that others can change. `engine` has observed what is there."""

    def reset(self) -> None:
        """An account with nothing in it but what an account comes with."""

    def stop(self) -> None: ...
