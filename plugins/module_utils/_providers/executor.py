# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out: everything at the same time that does not have to wait, and nothing more after a failure."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from .base import Handler
from .errors import ProviderError, TransientError
from .model import Action, Found, Plan, Resource, resolved
from .stamp import stamp

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """How long a step that may yet succeed is tried again, in seconds. The clock and the sleep are injected."""

    limit: float = 300
    first: float = 0.2
    longest: float = 5
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


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
        open_actions = {action.id: action for action in plan.actions}
        running: dict[Future[Found | None], Action] = {}
        finished: set[str] = set()
        steps: list[str] = []
        failed: dict[str, Exception] = {}
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            while running or (open_actions and not failed):
                if not failed:
                    for action in [one for one in open_actions.values() if one.needs <= finished]:
                        running[pool.submit(self._do, action, plan.fingerprint)] = open_actions.pop(action.id)
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

    def _do(self, action: Action, fingerprint: str) -> None:
        handler = self.handlers[action.key.split("/", 1)[0]]
        if action.verb == "delete" and action.found:
            found = action.found
            self._patiently(action, lambda: handler.delete(found))
            with self._lock:
                if self.world.get(action.key) is found:
                    del self.world[action.key]
            return
        wanted = self._wanted(action, handler)
        if action.verb == "create":
            # The same step in the same world has the same token: an API that takes tokens makes it only once.
            token = hashlib.sha256(f"{self.uid} {action.key} {fingerprint}".encode()).hexdigest()[:32]
            made = self._patiently(action, lambda: handler.create(wanted, token))
        else:
            current = action.found
            if current is None:
                raise ProviderError(f"{action.label}: a step without the resource that it is about")
            made = self._patiently(action, lambda: handler.update(current, wanted, action.changes))
        with self._lock:
            self.world[action.key] = made

    def _wanted(self, action: Action, handler: Handler) -> Resource:
        """The wanted resource with its references resolved and its stamp."""
        wanted = action.wanted
        if wanted is None:
            raise ProviderError(f"{action.label}: a step without what is wanted")
        compared = {name: value for name, value in wanted.properties.items() if name not in handler.kind.create_only}
        with self._lock:
            return replace(wanted, properties=resolved(wanted.properties, self.world), stamp=stamp(compared))

    def _patiently(self, action: Action, step: Callable[[], Found | None]) -> Found:
        deadline = self.patience.clock() + self.patience.limit
        pause = self.patience.first
        while True:
            try:
                return step()  # type: ignore[return-value]  # a deletion's outcome is not looked at
            except TransientError as error:
                if self.patience.clock() + pause > deadline:
                    raise ProviderError(f"not within {self.patience.limit:g} s, last seen: {error}") from error
                # Steps that met the same limit at the same time do not meet it again together.
                self.patience.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, self.patience.longest)
