# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server is which machine. Pure.

A machine keeps the server that it has for as long as that one is what the pool asks for. A new machine gets the
smallest server that will do of those that nobody has claimed, in the failure domain whose turn it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import Problem
from ..spec import Pool, Spec
from .settings import Server


@dataclass(frozen=True)
class Allocation:
    """servers: by machine. A machine that no server is found for is in none, and in the problems."""

    servers: Mapping[str, Server]
    problems: tuple[Problem, ...] = ()


def fits(pool: Pool, server: Server) -> bool:
    """Whether a server has what the pool asks for, a disk of its own for each data disk included."""
    if server.architecture != pool.architecture or server.cpu < pool.cpu or server.memory_gib < pool.memory_gib:
        return False
    left = sorted(server.disks, key=lambda disk: disk.size_gib)
    # The largest wish first: what is left for it then is left for all others too.
    for wish in sorted(pool.data_disks, key=lambda disk: -disk.size_gib):
        match = next((one for one in left if one.size_gib >= wish.size_gib and one.storage == wish.storage), None)
        if match is None:
            return False
        left.remove(match)
    return True


def allocate(
    spec: Spec, stock: Sequence[Server], own: Mapping[str, str], taken: frozenset[str], domains: Sequence[str]
) -> Allocation:
    """own: machine -> server, as claimed by this cluster. taken: names of the servers that are anybody's."""
    by_name = {server.name: server for server in stock}
    servers: dict[str, Server] = {}
    for machine, pool in spec.machines():
        current = by_name.get(own.get(machine, ""))
        if current and current.failure_domain in domains and fits(pool, current):
            servers[machine] = current
    free = [server for server in stock if server.name not in taken and server.failure_domain in domains]
    problems = []
    for pool in spec.pools:
        for number, machine in enumerate(pool.machines()):
            if machine in servers:
                continue
            turn = pool.failure_domain(domains, number)
            chosen = _choose(pool, free, turn)
            if chosen is None:
                problems.append(_problem(pool, machine, free, turn))
                continue
            servers[machine] = chosen
            free.remove(chosen)
    return Allocation(servers, tuple(problems))


def _choose(pool: Pool, free: Sequence[Server], turn: str) -> Server | None:
    fitting = [
        server for server in free if fits(pool, server) and (pool.spread != "hard" or server.failure_domain == turn)
    ]
    return min(fitting, key=lambda one: (one.failure_domain != turn, one.cpu, one.memory_gib, one.name), default=None)


def _problem(pool: Pool, machine: str, free: Sequence[Server], turn: str) -> Problem:
    disks = "".join(f", a {disk.storage} disk of {disk.size_gib} GiB" for disk in pool.data_disks)
    place = f" in {turn}" if pool.spread == "hard" else ""
    seen = f"no free server has {pool.cpu} CPUs, {pool.memory_gib} GiB, {pool.architecture}{disks}{place}"
    offered = sorted({f"{server.name} ({server.size})" for server in free})
    wanted = f"what one of {', '.join(offered[:5])} has, or one more server" if offered else "one more server"
    return Problem(f"machine {machine}", seen, wanted, "infrastructure_settings.servers")
