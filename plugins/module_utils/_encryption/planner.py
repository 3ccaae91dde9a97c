# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation has to do next. Pure: what hosts hold and what etcd holds come in, what each host gets goes out.

The order is what keeps every object readable for every API server at every moment:

    add       every API server can read what is written under the new key; all still write under the old one
    promote   all write under the new key
    rewrite   every object is written again; etcd shows that none is left under another key
    remove    the other keys are taken away

A step begins when the one before is proven on every host. Nothing is remembered between runs: an interrupted rotation
is recognised by what is seen, and completed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import EncryptionError
from .layout import Key, Layout, covers, missing_from

ADD, PROMOTE, REWRITE, REMOVE = "add", "promote", "rewrite", "remove"
STAGES = (ADD, PROMOTE, REMOVE)


@dataclass(frozen=True)
class Plan:
    """`newest` ends up as the only key. `targets`: the configuration of each host after each of STAGES.

    `resources` are to be written again. `begun`: an earlier rotation was found unfinished and is completed.
    """

    newest: str
    begun: bool
    resources: tuple[str, ...]
    targets: Mapping[str, Mapping[str, Layout]] = field(repr=False)

    def steps(self, seen: Mapping[str, Layout]) -> list[dict[str, object]]:
        """Return what is left to do: [{step, hosts}]."""
        now = dict(seen)
        found: list[dict[str, object]] = []
        for stage in (ADD, PROMOTE, REWRITE, REMOVE):
            hosts = sorted(self.targets)
            if stage != REWRITE:
                hosts = [host for host in hosts if self.targets[host][stage] != now[host]]
                now = {host: self.targets[host][stage] for host in self.targets}
            if hosts:
                found.append({"step": stage, "hosts": [] if stage == REWRITE else hosts})
        return found


def plan(
    seen: Mapping[str, Layout],
    stored: Mapping[str, int],
    wanted: Sequence[str],
    make: Callable[[str], Key],
    day: str,
    settled: bool = True,
) -> Plan:
    """Plan a rotation, or the rest of one.

    `seen`: the configuration of every control-plane host. `stored`: how many objects etcd has under which key.
    `wanted`: the resources to encrypt. `make` makes a key of a name; `day` is the date for it, YYYYMMDD.
    `settled`: every API server uses the configuration on its disk; where one does not yet, a rotation was cut off.
    EncryptionError where keys are lost or differ between hosts.
    """
    known = _all_keys(seen)
    lost = sorted(set(stored) - set(known))
    if lost:
        told = ", ".join(f"{stored[name]} under {name}" for name in lost)
        raise EncryptionError(
            f"etcd holds objects under keys that no API server has: {told}. They cannot be read. Bring the key back, "
            "from a host that was away or the identity bundle, or delete these objects; nothing was changed."
        )
    begun = not settled or any(len(layout.keys) > 1 for layout in seen.values()) or len(known) > 1
    if begun:
        newest = _newest(seen, known)
    else:
        numbers = [key.number or 0 for key in known.values()]
        newest = make(f"key-{day}-{max(numbers, default=0) + 1}")
    keys = {**known, newest.name: newest}
    covered = tuple(dict.fromkeys(name for host in sorted(seen) for name in seen[host].encrypted + seen[host].plain))
    # Not a key that nothing is stored and nothing is written under: some host has lost it already, rightly so.
    needed = {newest.name, *stored, *(layout.keys[0].name for layout in seen.values())}
    targets = {host: _targets(layout, keys, needed, newest, tuple(wanted), covered) for host, layout in seen.items()}
    resources = tuple(dict.fromkeys([*wanted, *(name for name in covered if not _covered(name, wanted))]))
    return Plan(newest.name, begun, resources, targets)


def fingerprint(key: Key) -> str:
    """Return what tells keys of the same name apart without saying anything of them."""
    return hashlib.sha256(key.secret.encode()).hexdigest()


def _all_keys(seen: Mapping[str, Layout]) -> dict[str, Key]:
    known: dict[str, Key] = {}
    holder: dict[str, str] = {}
    for host in sorted(seen):
        for key in seen[host].keys:
            if fingerprint(known.setdefault(key.name, key)) != fingerprint(key):
                raise EncryptionError(
                    f"{holder[key.name]} and {host} have different keys under the name {key.name}. Objects of one of "
                    "them cannot be read by the other; rename one of the keys by hand before anything is rotated."
                )
            holder.setdefault(key.name, host)
    return known


def _newest(seen: Mapping[str, Layout], known: Mapping[str, Key]) -> Key:
    numbers = {key.number for key in known.values()}
    if None not in numbers and len(numbers) == len(known):
        return max(known.values(), key=lambda key: key.number or 0)
    first = {layout.keys[0].name for layout in seen.values()}
    if len(first) > 1:
        raise EncryptionError(
            f"the names of the keys do not say which one is the newest: {', '.join(sorted(known))}. Put that one first "
            "on every control-plane host, or call it key-YYYYMMDD-N with the highest N."
        )
    return known[first.pop()]


def _targets(
    now: Layout,
    keys: Mapping[str, Key],
    needed: set[str],
    newest: Key,
    wanted: tuple[str, ...],
    covered: tuple[str, ...],
) -> dict[str, Layout]:
    held = {key.name for key in now.keys}
    others = tuple(key for name, key in sorted(keys.items()) if name in held | needed and name != newest.name)
    # Where the new key is first already, the host is past this step, and must not go back.
    added = now.keys + tuple(key for key in (newest, *others) if key.name not in held)
    left = tuple(name for name in covered if not _covered(name, wanted))
    return {
        ADD: Layout(added, now.encrypted, now.plain + missing_from((*wanted, *covered), now)),
        PROMOTE: Layout((newest, *others), wanted, left),
        REMOVE: Layout((newest,), wanted),
    }


def _covered(name: str, patterns: Sequence[str]) -> bool:
    return any(covers(pattern, name) for pattern in patterns)
