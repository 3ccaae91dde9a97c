# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the cluster is well enough for a host to touch its certificates, as this host sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from .._etcd.client import Gateway
from .._etcd.model import EtcdError
from .._kubeadm.steps import tls_path_ok


def etcd_trouble(gateway: Gateway) -> list[str]:
    """Return what is wrong with etcd, member by member; nothing when all are well."""
    cluster = gateway.cluster()
    if cluster is None:
        return [f"etcd: {gateway.no_quorum()}"]
    found = []
    for member in cluster.members:
        if not member.healthy:
            seen = [gateway.errors[url] for url in member.client_urls if url in gateway.errors]
            found.append(f"etcd member {member.title}: {'; '.join(seen) or 'it has not been started'}")
        elif member.learner:
            found.append(f"etcd member {member.title}: it is a learner")
    try:
        answer = gateway.any_healthy(lambda url: gateway.call(url, "POST", "/v3/maintenance/alarm", {"action": "GET"}))
    except EtcdError as error:
        return [*found, f"etcd: {error}"]
    return found + [f"etcd: the alarm {alarm.get('alarm')} is raised" for alarm in answer.get("alarms", [])]


def api_trouble(servers: Mapping[str, str], port: int) -> list[str]:
    """Return which API servers are not ready. `servers`: their addresses by the names of their nodes.

    A host that is only a member of etcd has no authority to check their certificates against. Nothing is told to them,
    and a wrong answer could do no more than have a certificate renewed a little early.
    """
    if not servers:
        return []
    with ThreadPoolExecutor(max_workers=len(servers)) as pool:
        seen = pool.map(lambda address: tls_path_ok(address, port, "/readyz"), servers.values())
    return [f"API server {name}: {words}" for name, words in zip(servers, seen) if words is not None]


def settled(
    look: Callable[[], list[str]],
    patience: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Look until there is no trouble, an election being over in a moment. Returns what was seen last."""
    deadline = clock() + patience
    while True:
        seen = look()
        if not seen or clock() >= deadline:
            return seen
        sleep(0.5)
