# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a provider's lists tell what was done by now. They may lag behind the calls that changed something.

Who plans before they do makes a second one of what is there, and tells the cluster of machines that are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .model import Action, Found


def behind(actions: Iterable[Action], made: Mapping[str, Found], found: Iterable[Found]) -> str:
    """What the lists (`found`) do not tell yet of steps that are all done; empty where there is nothing.

    made: what the steps left, by key.
    """
    listed = {(one.key, one.id): one.stamp for one in found}
    steps = list(actions)
    there = {(one.key, one.id): one.stamp for one in (made[step.key] for step in steps if step.verb != "delete")}
    gone = {(step.key, step.found.id) for step in steps if step.verb == "delete" and step.found} - set(there)
    told = [f"{key} is made and not listed yet" for key, _id in sorted(set(there) - set(listed))]
    told += [f"{key} is deleted and still listed" for key, _id in sorted(gone & set(listed))]
    told += [
        f"{one[0]} is changed and still listed as before"
        for one in sorted(listed)
        if there.get(one, listed[one]) != listed[one]
    ]
    return told[0] if told else ""
