# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd through its HTTP gateway, with the standard library: a call takes milliseconds, and no program is started."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from .model import Cluster, EtcdError, Member

# Seconds for one answer. A member that is frozen accepts connections and never answers.
TIMEOUT = 2.0
LEARNER_REFUSES = "not supported for learner"


def tls_context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


class Gateway:
    """Calls to one cluster. `local` is asked first; `endpoints` are the client URLs of members by name."""

    def __init__(self, context: ssl.SSLContext, local: str, endpoints: Mapping[str, str]) -> None:
        self.context = context
        self.local = local
        self.endpoints = dict(endpoints)
        # Why an endpoint was not healthy when it was asked last, for messages.
        self.errors: dict[str, str] = {}

    def call(self, url: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One answer. Raises EtcdError, with etcd's own words where it refused."""
        address = urlsplit(url)
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=TIMEOUT, context=self.context
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EtcdError(f"{url} does not answer: {error}") from None
        finally:
            connection.close()
        try:
            document = json.loads(text)
        except ValueError:
            raise EtcdError(f"{url}{path} answered {answer.status}: {text[:200]!r}") from None
        if answer.status != 200 and "health" not in document:
            raise EtcdError(str(document.get("message", document)))
        return document

    def is_healthy(self, url: str, serializable: bool = False) -> bool:
        """Whether the member reads with the quorum's agreement; a learner cannot, it is asked for a serializable read.

        A raised alarm (no space) is not a member that is down.
        """
        self.errors.pop(url, None)
        try:
            answer = self.call(url, "GET", "/health?serializable=true" if serializable else "/health")
        except EtcdError as error:
            self.errors[url] = str(error)
            return False
        if answer.get("health") == "true" or str(answer.get("reason", "")).startswith("ALARM"):
            return True
        self.errors[url] = f"{url}: {answer.get('reason', 'unhealthy')}"
        return False

    def members(self, url: str, linearizable: bool = True) -> tuple[int, tuple[Member, ...]]:
        """(cluster ID, members) as the member at `url` sees them."""
        answer = self.call(url, "POST", "/v3/cluster/member/list", {"linearizable": linearizable})
        return int(answer["header"]["cluster_id"]), tuple(member_from_answer(entry) for entry in answer["members"])

    def status(self, url: str) -> dict[str, Any]:
        return self.call(url, "POST", "/v3/maintenance/status", {})

    def cluster(self) -> Cluster | None:
        """The cluster as a member with quorum sees it, with the health of every member; None when none has quorum."""
        urls = [self.local, *self.endpoints.values()]
        health = self._health(dict.fromkeys(urls, False))
        for url in urls:
            if not health[url]:
                continue
            try:
                cluster_id, members = self.members(url)
            except EtcdError:
                continue
            return Cluster(cluster_id, self._with_health(members, health))
        return None

    def _with_health(self, members: Sequence[Member], known: Mapping[str, bool]) -> tuple[Member, ...]:
        unknown = {
            url: member.learner
            for member in members
            for url in member.client_urls
            if member.learner or url not in known
        }
        health = {**known, **self._health(unknown)}
        return tuple(replace(member, healthy=any(health[url] for url in member.client_urls)) for member in members)

    def _health(self, urls: Mapping[str, bool]) -> dict[str, bool]:
        if not urls:
            return {}
        with ThreadPoolExecutor(max_workers=len(urls)) as pool:
            return dict(zip(urls, pool.map(self.is_healthy, urls.keys(), urls.values())))

    def any_healthy(self, act: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Do something through the first voter that has quorum; learners read with the quorum, but change nothing."""
        for url in (self.local, *self.endpoints.values()):
            if not self.is_healthy(url):
                continue
            try:
                return act(url)
            except EtcdError as error:
                if LEARNER_REFUSES not in str(error):
                    raise
        raise EtcdError(self.no_quorum())

    def no_quorum(self) -> str:
        return "; ".join(["no member with quorum answers", *self.errors.values()])

    def add_learner(self, peer_url: str) -> tuple[Member, ...]:
        answer = self.any_healthy(
            lambda url: self.call(url, "POST", "/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True})
        )
        return tuple(member_from_answer(entry) for entry in answer["members"])

    def remove(self, member_id: int) -> None:
        self.any_healthy(lambda url: self.call(url, "POST", "/v3/cluster/member/remove", {"ID": str(member_id)}))

    def promote(self, member_id: int) -> None:
        self.any_healthy(lambda url: self.call(url, "POST", "/v3/cluster/member/promote", {"ID": str(member_id)}))

    def update(self, member_id: int, peer_url: str) -> None:
        body = {"ID": str(member_id), "peerURLs": [peer_url]}
        self.any_healthy(lambda url: self.call(url, "POST", "/v3/cluster/member/update", body))


def member_from_answer(entry: Mapping[str, Any]) -> Member:
    """The gateway leaves out what is empty or false."""
    return Member(
        id=int(entry["ID"]),
        name=str(entry.get("name", "")),
        peer_urls=tuple(entry.get("peerURLs", ())),
        client_urls=tuple(entry.get("clientURLs", ())),
        learner=bool(entry.get("isLearner", False)),
    )
