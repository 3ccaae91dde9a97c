# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a provider says there is, as far as it is made real."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# A header of the follower's own requests.
FOLLOWING = ("X-Stand-In", "following")
Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Instance:
    """A machine. user: the one that the provider's image, or its agent, makes. user_data: cloud-init's."""

    id: str
    address: str
    user: str
    user_data: str
    running: bool = True


@dataclass(frozen=True)
class Balancer:
    """One port of a load balancer. targets: addresses of machines, with the port there."""

    name: str
    address: str
    port: int
    health_path: str
    targets: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class World:
    """names: addresses by DNS name."""

    instances: tuple[Instance, ...] = ()
    balancers: tuple[Balancer, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Provider(Protocol):
    """One provider's API. files: what clients need to reach it, by name.

    application: None where it has servers of its own. tls: whether it is served with TLS.
    """

    tls: bool

    @property
    def application(self) -> Application | None: ...

    def prepare(self) -> None:
        """What every account has: images, a zone. The server answers by now."""

    def world(self) -> World: ...

    def files(self) -> dict[str, str]: ...

    def stop(self) -> None:
        """End what does not end with the process."""
