# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a resource was made to be, as a short text that a tag can hold.

There is no state file, and still a difference that others made has to be told from one that the description asks for.
So each resource carries digests of its properties as they were wanted when it was last finished:

- wanted as then, and different now: others changed it. That is drift, which is reported and left.
- wanted otherwise than then: the description has changed, and the resource is brought after it.
- no stamp: it was never finished, and is ours to finish.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .model import Properties, plain

# Four digits for each property: enough to notice a change, and short enough for the smallest tags (60 characters).
DIGITS = 4


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()[:DIGITS]


def stamp(properties: Properties) -> str:
    """The stamp of wanted properties: a digest of their names, then one for each value in the names' order."""
    names = sorted(properties)
    return _digest(names) + "".join(_digest(properties[name]) for name in names)


def outdated(text: str, properties: Properties) -> bool:
    """Whether a resource that is as it is wanted has no stamp, or one that says that it was wanted otherwise.

    The first was interrupted before its last call. With the second, somebody has changed the resource, and then the
    description was changed to be like it. The next thing that others change would not be told as theirs in either case.
    """
    own = stamp(properties)
    return not text or (len(text) == len(own) and text[:DIGITS] == own[:DIGITS] and text != own)


def unchanged(text: str, properties: Properties) -> frozenset[str]:
    """The names of the properties that are wanted as when the stamp was written.

    None where the properties' names are others: another version of the collection wrote it, which says nothing.
    """
    names = sorted(properties)
    digests = [text[start : start + DIGITS] for start in range(0, len(text), DIGITS)]
    if len(digests) != len(names) + 1 or digests[0] != _digest(names):
        return frozenset()
    return frozenset(name for name, digest in zip(names, digests[1:]) if digest == _digest(properties[name]))
