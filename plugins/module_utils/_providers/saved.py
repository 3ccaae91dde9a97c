# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan that is shown now and carried out later, if the world is still the one that was looked at.

The file holds no orders. It says what was approved; the run that carries it out plans anew and has to come to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import RefusedError
from .fingerprint import digest
from .model import Plan
from .text import lines

FORMAT = 2


def document(plan: Plan, provider: str, infra_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """settings: the provider's own, without secrets. An empty account looks like any other, wherever it is."""
    return {
        "format": FORMAT,
        "provider": provider,
        "cluster": infra_id,
        "settings": digest(settings),
        "fingerprint": plan.fingerprint,
        "steps": lines(plan),
    }


def check(saved: Any, plan: Plan, provider: str, infra_id: str, settings: Mapping[str, Any]) -> None:
    """Raise RefusedError unless the plan is the one that was saved, saying what has changed since."""
    if not isinstance(saved, dict) or saved.get("format") != FORMAT or not isinstance(saved.get("steps"), list):
        raise RefusedError("the approved plan is no plan that this version of the collection has saved")
    for name, seen in (("provider", provider), ("cluster", infra_id)):
        if saved.get(name) != seen:
            raise RefusedError(f"the approved plan is for the {name} {saved.get(name)}, and this is {seen}")
    if saved.get("settings") != digest(settings):
        raise RefusedError(
            "the approved plan was made with other settings of the provider (its region or account, for one); look at "
            "a new one and approve that, or change infrastructure_settings back"
        )
    steps = lines(plan)
    if saved.get("fingerprint") == plan.fingerprint and saved["steps"] == steps:
        return
    approved_world = str(saved.get("fingerprint", "")).split("-")[0]
    changed = "the description has" if approved_world == plan.fingerprint.split("-")[0] else "the infrastructure has"
    more = [f"  + {line}" for line in steps if line not in saved["steps"]]
    less = [f"  - {line}" for line in saved["steps"] if line not in steps]
    raise RefusedError(
        "\n".join([f"{changed} changed since the plan was approved; look at a new one and approve that.", *less, *more])
    )
