# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH host keys that machines made at their first boot, from what they wrote on their consoles then.

cloud-init makes a machine's host keys on the machine, where the private ones stay, and writes the public ones on its
console. Whoever reads them there, by the provider's API, need not believe the network. A key is read once in a
machine's life: what the console says later does not matter any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from .errors import ProviderError, TransientError
from .patience import Patience

BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
# Consoles put times or names of programs before a line.
KEY = re.compile(r"\b(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) (AAAA[A-Za-z0-9+/]+={0,2})(?=\s|$)")
HEADER = "# Host keys of a cluster's machines, by the machines' ids, as their consoles had them at the first boot.\n"
# Consoles are asked side by side.
AT_ONCE = 8

Keys = Mapping[str, Sequence[str]]  # by the machine's id


@dataclass(frozen=True)
class Recorded:
    """What a file of known hosts has to hold now, and how it comes to that. `added` and `gone` name machines."""

    keys: Keys
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        lines = [f"{machine} {key}\n" for machine, keys in sorted(self.keys.items()) for key in keys]
        return HEADER + "".join(lines) if lines else ""


def on_console(console: str) -> tuple[str, ...]:
    """The public keys, each `<type> <base64>`, of the first whole block. Nothing where there is none yet."""
    _before, begin, rest = console.partition(BEGIN)
    inside, end, _after = rest.partition(END)
    if not begin or not end:
        return ()
    return tuple(sorted({f"{kind} {key}" for kind, key in KEY.findall(inside)}))


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """What `Recorded.text` wrote."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        machine, _space, key = line.partition(" ")
        if KEY.fullmatch(key):
            found[machine] = (*found.get(machine, ()), key)
    return found


def recorded(
    known: Keys, machines: Sequence[Mapping[str, Any]], console: Callable[[str], str], patience: Patience
) -> Recorded:
    """The keys of all `machines` (as outputs have them): those that are known, and those that consoles tell.

    `console` gives what a machine, by its id, has written. Machines that are not known yet are waited for.
    """
    names = {str(machine["id"]): str(machine["name"]) for machine in machines}
    outcome = expected(known, machines)
    new = [machine for machine in names if machine not in known]

    def read(machine: str) -> tuple[str, ...]:
        return patience(lambda attempts: _read(names[machine], console(machine)))

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        told = dict(zip(new, pool.map(read, new)))
    return replace(outcome, keys={**outcome.keys, **told})


def expected(known: Keys, machines: Sequence[Mapping[str, Any]]) -> Recorded:
    """What `recorded` would come to, as far as it can be said without waiting: new keys are not among it."""
    names = {str(machine["id"]): str(machine["name"]) for machine in machines}
    kept = {machine: keys for machine, keys in known.items() if machine in names}
    added = tuple(sorted(name for machine, name in names.items() if machine not in known))
    return Recorded(kept, added, tuple(sorted(set(known) - set(names))))


def _read(name: str, console: str) -> tuple[str, ...]:
    keys = on_console(console)
    if not keys:
        raise TransientError(
            f"machine/{name}: there are no SSH host keys on its console yet ({len(console)} characters)"
        )
    return keys


def missing(provider: str) -> ProviderError:
    return ProviderError(
        f"{provider} gives no machine's console to read: infrastructure_known_hosts is set, wanted empty, and the "
        "machines' host keys in a known_hosts file of yours"
    )
