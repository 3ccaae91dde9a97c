# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe, plan, check, apply: the one way from a description to machines, for every provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from . import base, capabilities, host_keys, outputs, planner, settled
from .base import Strategy
from .errors import InvalidError, RefusedError, TransientError
from .executor import Done, Executor
from .model import Found, Plan
from .outputs import Outputs
from .patience import Patience
from .planner import NO_OPTIONS, Options
from .spec import Spec

# States of machines that will be others soon, in every provider's words.
PENDING = frozenset({"pending", "building", "creating"})


@dataclass
class Engine:
    """One cluster at one provider. Nothing is called before `plan`."""

    strategy: Strategy
    patience: Patience = field(default_factory=Patience)
    progress: Callable[[str], None] = lambda line: None
    reading: Patience = field(default_factory=lambda: Patience(limit=30))

    def __post_init__(self) -> None:
        self.spec: Spec = self.strategy.spec
        self.handlers = self.strategy.handlers()
        self.world: dict[str, Found] = {}

    def validate(self) -> None:
        """Offline. Raise InvalidError with all that is wrong with the description for this provider."""
        strategy = self.strategy
        problems = [
            *strategy.check_settings(strategy.settings),
            *capabilities.problems(self.spec, strategy.CAPABILITIES, strategy.NAME, strategy.FALLBACKS),
            *strategy.validate(),
        ]
        if problems:
            raise InvalidError(problems)

    def decisions(self) -> list[capabilities.Decision]:
        """What the description leaves open, or the provider lacks, and what is done about it."""
        strategy = self.strategy
        return capabilities.decisions(self.spec, strategy.CAPABILITIES, strategy.NAME, strategy.FALLBACKS)

    def observe(self) -> list[Found]:
        found = base.observe(self.handlers, self.reading)
        self.world = planner.unique(found)[0]
        return found

    def machines(self) -> list[dict[str, Any]]:
        """The machines that are there, as JSON has them: one kind's list, and no plan."""
        found = base.observe({"machine": self.handlers["machine"]}, self.reading)
        return [asdict(machine) for machine in outputs.machines(planner.unique(found)[0])]

    def cluster(self) -> Outputs:
        """The machines that are there, and what hangs on no other kind: no plan, and as few lists as can be."""
        asked = ("machine", *(("key",) if self.spec.keys else ()), *self.strategy.INVENTORY_KINDS)
        handlers = {kind: self.handlers[kind] for kind in asked if kind in self.handlers}
        return self.outputs(planner.unique(base.observe(handlers, self.reading))[0])

    def host_keys(self, known: host_keys.Keys) -> host_keys.Recorded:
        """The SSH host keys of the machines that are there: `known` ones, and those of new ones from their consoles."""
        if capabilities.CONSOLE not in self.strategy.CAPABILITIES:
            raise host_keys.missing(self.strategy.NAME)
        return host_keys.recorded(known, self.machines(), self.strategy.console, self.patience)

    def plan(self, present: bool = True, options: Options = NO_OPTIONS) -> Plan:
        """What would have to be done. Read-only; raise InvalidError for what could not be done to its end."""
        problems = self.reading(lambda attempts: self.strategy.connect())
        if problems:
            raise InvalidError(problems)
        desired = self.strategy.desired(self.strategy.failure_domains()) if present else []
        plan = planner.plan(desired, self.observe(), base.kinds(self.handlers), options)
        problems = self.reading(lambda attempts: self.strategy.preflight(plan)) if plan else []
        if problems:
            raise InvalidError(problems)
        return plan

    def apply(self, plan: Plan) -> Done:
        executor = Executor(self.handlers, self.world, self.spec.uid, patience=self.patience, progress=self.progress)
        done = executor.run(plan)
        if plan:
            self.patience(lambda attempts: self._settled(plan, done))
        return done

    def _settled(self, plan: Plan, done: Done) -> None:
        """Raise TransientError while lists lag behind, or a machine's addresses may not be known yet."""
        behind = settled.behind(plan.actions, done.world, self.observe())
        if behind:
            raise TransientError(behind)
        for machine in outputs.machines(self.world):
            if machine.state in PENDING:
                raise TransientError(f"machine/{machine.name} is {machine.state}")

    def outputs(self, world: Mapping[str, Found] | None = None) -> Outputs:
        return self.strategy.outputs(self.world if world is None else world)


def check_consent(plan: Plan, spec: Spec, consent: Any) -> None:
    """Raise RefusedError where a plan takes something away and the cluster's name is not repeated."""
    going = sorted({action.key for action in plan.actions if action.verb == "delete"})
    if going and consent != spec.name:
        shown = ", ".join(going[:5]) + (f" and {len(going) - 5} others" if len(going) > 5 else "")
        raise RefusedError(
            f"the plan deletes {shown}. Seen infrastructure_consent={consent or '(not set)'}, wanted "
            f"infrastructure_consent={spec.name}."
        )
