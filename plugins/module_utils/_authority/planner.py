# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation of one authority has to do next. Pure: what every host trusts and signs with comes in.

The order is what lets every client and every server trust each other at every moment:

    trust     everyone trusts the old and the new authority; all is signed by the old one
    key       those that sign get the new key, and sign with it from now on
    sign      everything is signed again by the new authority
    remove    nobody trusts the old one any more

A step begins when the one before is proven on every host. Nothing is remembered between runs. Hosts hold the key they
sign with and no other: a new authority whose key no host holds yet has signed nothing, so that it can be left out, and
another one be made in its place. As soon as one host holds it, the rotation has begun and is completed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from .errors import AuthorityError

TRUST, KEY, REMOVE = "trust", "key", "remove"
STAGES = (TRUST, KEY, REMOVE)

# (host, path of the bundle)
Place = tuple[str, str]


@dataclass(frozen=True)
class Seen:
    """A bundle on a host: fingerprints of its certificates in order, and of the one whose key the host holds.

    `signer` is None where the host does not sign. The first certificate of a bundle is taken for the one that signs.
    """

    certificates: tuple[str, ...]
    signer: str | None = None


@dataclass(frozen=True)
class Rotation:
    """`newest` ends up as the only one that is trusted. `targets`: every bundle after each of STAGES.

    `begun`: an earlier rotation was found unfinished, and is completed. `rotates`: whether anything is to be replaced.
    """

    newest: str
    begun: bool
    rotates: bool
    targets: Mapping[str, Mapping[Place, tuple[str, ...]]]


def plan(
    seen: Mapping[Place, Seen],
    born: Mapping[str, datetime],
    wanted: bool,
    make: Callable[[], str],
    settled: bool = True,
    published: Collection[str] = (),
) -> Rotation:
    """Plan the rotation of an authority, or the rest of one.

    `born`: when each certificate was made. `wanted`: whether a new rotation may begin. `make` makes a new authority and
    returns its fingerprint. `settled`: every component is seen to use what lies on its disk; where one does not, a
    rotation was cut off at its end, or before it began. `published`: what the cluster's objects say to trust.
    """
    signers = {bundle.signer for bundle in seen.values() if bundle.signer is not None}
    if not signers:
        raise AuthorityError("no host was seen to hold its key")
    present = {fingerprint for bundle in seen.values() for fingerprint in bundle.certificates} | set(published)
    current = max(signers, key=lambda fingerprint: (born[fingerprint], fingerprint))
    # Made later than the one that signs, and nobody has its key: the rotation that made it was cut off before it began.
    orphans = {other for other in present - signers if born[other] > born[current]}
    begun = len(signers) > 1 or bool(present - orphans - {current}) or not (settled or orphans)
    newest = current if begun or not wanted else make()
    needed = [*sorted(signers, key=lambda fingerprint: (born[fingerprint], fingerprint))]
    if newest not in needed:
        needed.append(newest)
    trust: dict[Place, tuple[str, ...]] = {}
    key: dict[Place, tuple[str, ...]] = {}
    for place, bundle in seen.items():
        kept = [fingerprint for fingerprint in bundle.certificates if fingerprint not in orphans]
        trust[place] = tuple(dict.fromkeys([*kept, *needed]))
        key[place] = (newest, *(fingerprint for fingerprint in trust[place] if fingerprint != newest))
    remove = dict.fromkeys(seen, (newest,))
    return Rotation(newest, begun, begun or newest != current, {TRUST: trust, KEY: key, REMOVE: remove})


def steps(
    rotation: Rotation, seen: Mapping[Place, Seen], unsigned: Mapping[str, int]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is left to do: (step, hosts). `unsigned`: how many certificates of a host the newest has to sign."""
    now = {place: bundle.certificates for place, bundle in seen.items()}
    found: list[tuple[str, tuple[str, ...]]] = []
    for stage in STAGES:
        target = rotation.targets[stage]
        hosts = {host for host, path in target if target[host, path] != now[host, path]}
        if stage == KEY:
            hosts |= {host for (host, _), one in seen.items() if one.signer not in (None, rotation.newest)}
        if hosts:
            found.append((stage, tuple(sorted(hosts))))
        signing = sorted(host for host, count in unsigned.items() if count)
        if stage == KEY and signing:
            found.append(("sign", tuple(signing)))
        now = dict(target)
    return found
