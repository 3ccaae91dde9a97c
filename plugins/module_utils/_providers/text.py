# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as lines that a person reads: what `--diff` shows and what a saved plan holds."""

from __future__ import annotations

import json
from typing import Any

from .model import Change, Plan, plain


def value(item: Any) -> str:
    item = plain(item)
    return "(none)" if item is None else item if isinstance(item, str) else json.dumps(item, sort_keys=True)


def change(one: Change) -> str:
    return f"{one.field}: {value(one.before)} -> {value(one.after)}"


def lines(plan: Plan) -> list[str]:
    """One line for each step, in an order that depends on nothing but the steps; then what is left as it is."""
    found = []
    for action in sorted(plan.actions, key=lambda action: (action.key, action.verb != "delete", action.id)):
        if action.replaces and action.verb == "create":
            continue
        verb = "replace" if action.replaces else action.verb
        details = "; ".join(change(one) for one in action.changes)
        if action.verb == "update" and not action.changes:
            details = "only its stamp"
        found.append(f"{verb} {action.key}" + (f" ({details})" if details else ""))
    found += [f"drift {drift.key} ({change(drift.change)})" for drift in plan.drift]
    found += [f"keep {key} (it holds data)" for key in plan.kept]
    found += [f"later {key} ({reason})" for key, reason in plan.deferred]
    return found
