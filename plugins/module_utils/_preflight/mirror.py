# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the artifact mirror, where one is used, answers and holds what the inventory asks for."""

from __future__ import annotations

from typing import Any, Iterator

from .problem import Problem


def check(settings: dict[str, Any], groups: dict[str, list[str]]) -> Iterator[Problem]:
    yield from ()
