# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out: everything at the same time that does not have to wait, and nothing more after a failure."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from .base import Handler
from .errors import ProviderError
from .model import Action, Change, Found, Plan, Resource, resolved
from .patience import Patience
from .stamp import stamp

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """world: what is there now, by key. steps: labels of what was done, in the order in which it ended."""

    world: Mapping[str, Found]
    steps: tuple[str, ...]
    elapsed: float = 0.0


class ApplyError(ProviderError):
    """A step failed. What was done stays; another run finds it by its tags and does the rest."""

    def __init__(self, failed: Mapping[str, Exception], done: Done, open_steps: int) -> None:
        self.failed, self.done = failed, done
        reasons = "\n".join(f"  {label}: {error}" for label, error in failed.items())
        super().__init__(
            f"{len(failed)} of the steps failed:\n{reasons}\n"
            f"{len(done.steps)} steps are done and {open_steps} were not begun. Nothing is lost: the next run goes on "
            "from what is there."
        )


@dataclass
class Executor:
    """`world`: what was observed, by key; references are resolved with it and with what is made on the way."""

    handlers: Mapping[str, Handler]
    world: dict[str, Found]
    uid: str
    patience: Patience = field(default_factory=Patience)
    workers: int = 16
    progress: Progress = lambda line: None

    def run(self, plan: Plan) -> Done:
        """Do every step. Raise ApplyError when one fails; those under way are waited for."""
        started = self.patience.clock()
        self._lock = threading.Lock()
        going = frozenset(action.found.id for action in plan.actions if action.verb == "delete" and action.found)
        open_actions = {action.id: action for action in plan.actions}
        running: dict[Future[Found | None], Action] = {}
        finished: set[str] = set()
        steps: list[str] = []
        failed: dict[str, Exception] = {}
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            while running or (open_actions and not failed):
                if not failed:
                    for action in [one for one in open_actions.values() if one.needs <= finished]:
                        running[pool.submit(self._do, action, plan.fingerprint, going)] = open_actions.pop(action.id)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    action = running.pop(future)
                    error = future.exception()
                    if isinstance(error, Exception):
                        failed[action.label] = error
                    elif error:
                        raise error
                    else:
                        finished.add(action.id)
                        steps.append(action.label)
                        self.progress(f"{len(steps)}/{len(plan.actions)} {action.label}")
        done = Done(dict(self.world), tuple(steps), self.patience.clock() - started)
        if failed:
            raise ApplyError(failed, done, len(open_actions))
        return done

    def _do(self, action: Action, fingerprint: str, going: frozenset[str]) -> None:
        handler = self.handlers[action.key.split("/", 1)[0]]
        found = action.found
        if action.verb == "delete" and found:
            gone = found
            self.patience(lambda attempts: handler.delete(gone))
            with self._lock:
                if self.world.get(action.key) is found:
                    del self.world[action.key]
            return
        wanted = self._wanted(action, handler)
        if action.verb == "create":
            # The same step in the same world has the same token: an API that takes tokens makes it only once.
            token = hashlib.sha256(f"{self.uid} {action.key} {fingerprint}".encode()).hexdigest()[:32]
            made = self.patience(lambda attempts: self._create(handler, wanted, token, attempts, going))
        elif found:
            current = found
            made = self.patience(lambda attempts: self._update(handler, current, wanted, action, attempts))
        else:
            raise ProviderError(f"{action.label}: a step without the resource that it is about")
        with self._lock:
            self.world[action.key] = made

    @staticmethod
    def _create(handler: Handler, wanted: Resource, token: str, attempts: int, going: frozenset[str]) -> Found:
        """Make it, unless an attempt before has: its answer may have been lost, or its last call refused.

        What the plan deletes may still be listed under the same key, and is not what was made.
        """
        seen = handler.observe() if attempts else ()
        made = [one for one in seen if one.key == wanted.key and one.id not in going]
        if not made:
            return handler.create(wanted, token)
        if made[0].stamp == wanted.stamp:
            return made[0]
        properties = wanted.properties.items()
        changes = [Change(name, made[0].properties.get(name), value) for name, value in properties]
        return handler.update(made[0], wanted, [one for one in changes if one.field in handler.kind.mutable])

    @staticmethod
    def _update(handler: Handler, found: Found, wanted: Resource, action: Action, attempts: int) -> Found:
        """Change it; from what is there by now, where an attempt before may have done a part."""
        fresh = [one for one in handler.observe() if one.id == found.id] if attempts else []
        return handler.update(fresh[0] if fresh else found, wanted, action.changes)

    def _wanted(self, action: Action, handler: Handler) -> Resource:
        """The wanted resource with its references resolved and its stamp."""
        wanted = action.wanted
        if wanted is None:
            raise ProviderError(f"{action.label}: a step without what is wanted")
        compared = {name: value for name, value in wanted.properties.items() if name not in handler.kind.create_only}
        with self._lock:
            known = resolved(wanted.properties, self.world)
        properties = {name: handler.kind.normal(name, value) for name, value in known.items()}
        return replace(wanted, properties=properties, stamp=stamp(compared))
