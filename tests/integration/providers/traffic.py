# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the wire to a stand-in: a request log and faults, as WSGI middleware around its application."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True)
class Request:
    """name: the operation in the API's words; mutating: whether it may change something; listing: whether it lists."""

    name: str
    mutating: bool
    listing: bool = False


@dataclass(frozen=True)
class Answer:
    """What a fault answers in the server's place."""

    status: str
    body: bytes
    content_type: str = "text/xml"


@dataclass
class Recorded:
    """What a list was answered last. It is told again `left` times once something has changed."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    changes: int
    left: int


@dataclass
class Dialect:
    """How one API tells its requests, and how it says that it cannot."""

    request: Callable[[Environ, bytes], Request]
    throttled: Callable[[Request], Answer]
    conflict: Callable[[Request], Answer]
    refused: Callable[[Request], Answer]


class Traffic:
    """Faults hold until `calm`. Counts are of mutating requests."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self.calm()

    @property
    def mutating(self) -> list[str]:
        return [request.name for request in self.requests if request.mutating]

    def clear(self) -> None:
        with self._lock:
            self.requests.clear()

    def calm(self) -> None:
        with self._lock:
            self._left: int | None = None
            self._known: set[Any] | None = None
            self._throttle_every = self._conflicts = self._lag = 0
            self._changes = self.stale = 0
            self._chance = random.Random(1)
            self._lists: dict[Any, Recorded] = {}

    def crash_after(self, count: int) -> None:
        """The next `count` mutating requests are carried out. The last answer is lost, and all that follows."""
        with self._lock:
            self._left = count

    def crash_at_new(self, known: set[Any]) -> None:
        """The first mutating request that is not `known` is carried out, and becomes known. Its answer is lost, and all
        that follows. So one run after the other gets one request further."""
        with self._lock:
            self._known = known

    def throttle(self, every: int) -> None:
        """One of so many requests, of any kind, is asked to come back later: by chance, but the same at every time.

        A fixed rhythm would meet an operation of as many calls at the same call whenever it is tried again.
        """
        with self._lock:
            self._throttle_every = every

    def conflict(self, count: int) -> None:
        """The next `count` mutating requests meet another operation that is under way."""
        with self._lock:
            self._conflicts = count

    def lag(self, count: int) -> None:
        """After a change, every list is told as it was before, so many times: without what was made, and with what was
        deleted. `stale` counts such answers.
        """
        with self._lock:
            self._lag = count

    def around(self, application: Application) -> Application:
        def wrapped(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            request = self.dialect.request(environ, body)
            key = (request, environ.get("QUERY_STRING"), body)
            fault, lost = self._fault(request, key)
            if fault and not lost:
                return self._answer(fault, start_response)
            with self._lock:
                self.requests.append(request)
            if not fault and request.listing:
                return self._listed(application, key, environ, start_response)
            if not fault:
                return application(environ, start_response)
            for _chunk in application(environ, lambda *arguments: lambda data: None):
                pass
            return self._answer(fault, start_response)

        return wrapped

    def _listed(
        self, application: Application, key: Any, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        with self._lock:
            known, changes, lag = self._lists.get(key), self._changes, self._lag
            if known and known.left and known.changes != changes:
                known.left -= 1
                self.stale += 1
                start_response(known.status, known.headers)
                return [known.body]
        told: list[Any] = []
        body = b"".join(application(environ, lambda *arguments: told.extend(arguments)))
        with self._lock:
            if lag:
                self._lists[key] = Recorded(told[0], told[1], body, changes, lag)
        start_response(told[0], told[1])
        return [body]

    def _fault(self, request: Request, key: Any) -> tuple[Answer | None, bool]:
        """What to answer in the server's place, and whether the server is to do its work all the same."""
        with self._lock:
            self._changes += request.mutating
            if self._known is not None and self._left is None and request.mutating and key not in self._known:
                self._known.add(key)
                self._left = 1
            if self._left is not None:
                if not request.mutating:
                    return (None, False) if self._left > 0 else (self.dialect.refused(request), False)
                self._left -= 1
                return (None, False) if self._left > 0 else (self.dialect.refused(request), self._left == 0)
            if self._conflicts and request.mutating:
                self._conflicts -= 1
                return self.dialect.conflict(request), False
            if self._throttle_every and self._chance.random() * self._throttle_every < 1:
                return self.dialect.throttled(request), False
            return None, False

    @staticmethod
    def _answer(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        start_response(answer.status, headers)
        return [answer.body]
