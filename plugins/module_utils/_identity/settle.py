# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster's identity is, given what its hosts hold. Pure: no key is made here, only decided about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .catalogue import ITEMS, SHARED, Item, SharedFile, shared_of

CONSENT = "identity_create_consent"


class IdentityRefused(Exception):
    """Going on could destroy a cluster; the message says what has to be done first."""


@dataclass(frozen=True)
class Held:
    """What one host holds: contents of the shared files by path, and the signs that a cluster has lived there."""

    parts: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)
    signs: Sequence[str] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """`values`: what is known already; `generate`: items to be made; `derive`: items whose public half is missing."""

    values: Mapping[str, str]
    generate: Sequence[Item] = ()
    derive: Sequence[Item] = ()


Normalise = Callable[[str, str], str]


def plain(value: str, text: str) -> str:
    """Two files are the same when they differ in nothing but white space at their ends."""
    return text.strip()


def decide(
    held: Mapping[str, Held],
    unreachable: Sequence[str],
    cluster_name: str,
    consent: str = "",
    normalise: Normalise = plain,
) -> Decision:
    """Settle the identity of the cluster.

    `held` has the hosts that were read, `unreachable` the other hosts of the groups.
    Raises IdentityRefused, naming hosts and files but never contents, where hosts disagree or a key could be lost.
    """
    _refuse_unreadable(held)
    values = _merge(held, normalise)
    known_parts = {part for host in held.values() for part in host.parts}
    generate: list[Item] = []
    derive: list[Item] = []
    for item in ITEMS:
        if not any(file.part in known_parts for file in SHARED if file.value == item.secret):
            continue  # no host of the part that holds it was reached: there is nothing to be said or written
        if item.secret in values:
            if item.public is not None and item.public not in values:
                derive.append(item)
        elif item.public is not None and item.public in values:
            raise IdentityRefused(_without_secret(item, held, unreachable))
        else:
            generate.append(item)
    if generate:
        _refuse_creation(generate, held, unreachable, cluster_name, consent)
    return Decision(values, tuple(generate), tuple(derive))


def missing_files(held: Held, values: Mapping[str, str]) -> list[SharedFile]:
    """The shared files this host should have and has not."""
    return [file for file in shared_of(list(held.parts)) if file.path not in held.files and file.value in values]


def _merge(held: Mapping[str, Held], normalise: Normalise) -> dict[str, str]:
    values: dict[str, str] = {}
    places: dict[str, dict[str, list[str]]] = {}
    for host in sorted(held):
        for file in SHARED:
            text = held[host].files.get(file.path)
            if text is None:
                continue
            same = hashlib.sha256(normalise(file.value, text).encode()).hexdigest()
            places.setdefault(file.value, {}).setdefault(same, []).append(f"{host}:{file.path}")
            values.setdefault(file.value, text)
    conflicts = {value: versions for value, versions in places.items() if len(versions) > 1}
    if conflicts:
        told = "; ".join(
            " differs from ".join(", ".join(where) for where in versions.values()) for versions in conflicts.values()
        )
        raise IdentityRefused(
            f"the hosts hold different identities, and nothing was changed: {told}. {_remedy(set(conflicts), held)}"
        )
    return values


def _remedy(conflicts: set[str], held: Mapping[str, Held]) -> str:
    """What to do about files that differ. Those that a rotation changes do so for a while."""
    if conflicts == {"encryption"}:
        return "A rotation of the keys for encryption at rest was not finished: run the playbook rotate_keys."
    bundles = [
        held[host].files.get(file.path, "") for host in held for file in SHARED if file.value.endswith("_ca.crt")
    ]
    if all("_ca." in value for value in conflicts) and any(text.count("-----BEGIN") > 1 for text in bundles):
        return "A rotation of the certificate authorities was not finished: run the playbook rotate_authorities."
    return "Decide which one is the cluster's, and move the other files away."


def _refuse_unreadable(held: Mapping[str, Held]) -> None:
    told = [
        f"{host}:{path} ({error})" for host in sorted(held) for path, error in sorted(held[host].unreadable.items())
    ]
    if told:
        raise IdentityRefused(f"files of the cluster's identity cannot be read: {', '.join(told)}")


def _without_secret(item: Item, held: Mapping[str, Held], unreachable: Sequence[str]) -> str:
    public = [
        f"{host}:{file.path}"
        for host in sorted(held)
        for file in SHARED
        if file.value == item.public and file.path in held[host].files
    ]
    wanted = sorted({file.path for file in SHARED if file.value == item.secret})
    hint = f" It may be on a host that was not reached: {', '.join(unreachable)}." if unreachable else ""
    return (
        f"{item.title} is known ({', '.join(public)}), but no host that was reached holds its key "
        f"{', '.join(wanted)}.{hint} Bring the key back from a host or the identity bundle."
    )


def _refuse_creation(
    generate: Sequence[Item],
    held: Mapping[str, Held],
    unreachable: Sequence[str],
    cluster_name: str,
    consent: str,
) -> None:
    if consent == cluster_name:
        return
    titles = ", ".join(item.title for item in generate)
    if consent:
        raise IdentityRefused(f"{CONSENT} is '{consent}', but the cluster's name is '{cluster_name}'")
    way_out = (
        f"Creating it anew makes everything signed or encrypted with an older one unreadable. "
        f"If there is none, set {CONSENT}={cluster_name}."
    )
    signs = [f"{host}:{sign}" for host in sorted(held) for sign in held[host].signs]
    if signs:
        raise IdentityRefused(
            f"a cluster has lived here ({', '.join(signs)}), but no host that was reached holds {titles}. {way_out}"
        )
    if unreachable:
        raise IdentityRefused(
            f"no host that was reached holds {titles}, and these hosts, which may hold it, were not reached: "
            f"{', '.join(sorted(unreachable))}. {way_out}"
        )
