# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a provider implements: a strategy, which is a set of handlers, one for each kind of resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, ClassVar

from .errors import Problem
from .model import Change, Found, Kind, Plan, Resource
from .outputs import Outputs
from .ownership import Ownership
from .patience import Patience
from .spec import Spec

# List calls of one observation at a time. Their number is that of the kinds, and a provider answers them side by side.
LISTS = 12


class Handler:
    """One kind of resource. Every method may raise TransientError, which is tried again, or ProviderError.

    A resource is made with its ownership tags by the call that makes it, so that an interrupted run loses nothing. The
    stamp (`wanted.stamp`) is written by the last call that it takes to finish the resource: where that is the call that
    makes it, both are one. A method must do no harm when an earlier run has been interrupted in the middle of it.
    """

    kind: ClassVar[Kind]

    def observe(self) -> Iterable[Found]:
        """All that the cluster owns of this kind, by its two tags: one list call, paged. Read-only."""
        raise NotImplementedError

    def create(self, wanted: Resource, token: str) -> Found:
        """Make it. `token` is the same when a run is repeated in the same world: for APIs that take one."""
        raise NotImplementedError

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        """Change the fields of `changes` and no others, all of which are in `kind.mutable`."""
        raise NotImplementedError

    def delete(self, found: Found) -> None:
        """Delete it and return when it is gone, or going so surely that what it needs can be deleted too."""
        raise NotImplementedError


class Strategy:
    """One provider. The constructor checks nothing and calls nothing; SDKs are imported inside of functions.

    NAME: as in O(provider). PACKAGES: what `pip install` needs. CAPABILITIES: names of capabilities.py. FALLBACKS: by
    name, what stands in for one that is missing, as it is told to the user.
    """

    NAME: ClassVar[str]
    PACKAGES: ClassVar[tuple[str, ...]] = ()
    CAPABILITIES: ClassVar[frozenset[str]] = frozenset()
    FALLBACKS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    # What an inventory has to know beside machines and keys.
    INVENTORY_KINDS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: Spec, settings: Mapping[str, Any]) -> None:
        self.spec = spec
        self.settings = settings
        self.ownership = Ownership.of(spec)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> list[Problem]:
        """Offline: the provider's own settings (`infrastructure_settings`): region, credentials' profile, ..."""
        raise NotImplementedError

    def validate(self) -> list[Problem]:
        """Offline: what of the description this provider can never do, whatever the account: sizes, `native` blocks."""
        raise NotImplementedError

    def connect(self) -> list[Problem]:
        """The first call: whether the credentials, and the place (region, project, subscription), are right."""
        raise NotImplementedError

    def failure_domains(self) -> tuple[str, ...]:
        """The failure domains to use, in a fixed order: those of the description, or the provider's own.

        After `connect`, which may have asked for them. Read-only.
        """
        raise NotImplementedError

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by kind. Asked for once."""
        raise NotImplementedError

    def desired(self, failure_domains: Sequence[str]) -> list[Resource]:
        """Pure: every resource that the description asks for."""
        raise NotImplementedError

    def preflight(self, plan: Plan) -> list[Problem]:
        """Read-only: what would make the plan fail half-way: credentials, quotas, sizes, images, names that are taken.

        Called before a plan is shown or carried out, where it has actions. What the plan does not need is not asked.
        """
        raise NotImplementedError

    def console(self, machine: str) -> str:
        """What a machine, by its id, has written on its console so far. Only where CAPABILITIES has `console`."""
        raise NotImplementedError

    def outputs(self, world: Mapping[str, Found]) -> Outputs:
        """Pure: what the cluster is told about its infrastructure, from what is there."""
        raise NotImplementedError


def kinds(handlers: Mapping[str, Handler]) -> dict[str, Kind]:
    return {name: handler.kind for name, handler in handlers.items()}


def observe(handlers: Mapping[str, Handler], patience: Patience) -> list[Found]:
    """All that the cluster owns, every kind's list at the same time."""

    def listed(handler: Handler) -> list[Found]:
        return patience(lambda attempts: list(handler.observe()))

    with ThreadPoolExecutor(max_workers=LISTS) as pool:
        return [one for found in pool.map(listed, handlers.values()) for one in found]
