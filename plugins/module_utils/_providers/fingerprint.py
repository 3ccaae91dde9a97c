# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short texts that change when what they were made from does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from .model import Found, Resource, plain


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def world(found: Iterable[Found]) -> str:
    """What is there, without what changes by itself (`details`: states, times)."""
    return digest(sorted((digest([one.kind, one.name, one.id, one.properties, one.stamp])) for one in found))


def of(desired: Iterable[Resource], found: Iterable[Found], options: Any) -> str:
    """`<world>-<intention>`: which of both has changed can be told from a saved one."""
    wanted = sorted(digest([one.kind, one.name, one.properties]) for one in desired)
    asked = [options.revert_drift, sorted(options.delete_data)]
    return f"{world(found)[:24]}-{digest([wanted, asked])[:24]}"
