# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has objects written again in slices, and tells between them how far it is."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        while True:
            answer = self._execute_module(
                module_name="caravan.cluster.encryption_rewrite", module_args=arguments, task_vars=task_vars
            )
            cursor = answer.get("cursor") or {}
            if answer.get("failed") or cursor.get("done"):
                break
            display.display(f"    {cursor['written']} objects so far, in {cursor['path']}")
            arguments["cursor"] = cursor
        result.update(answer)
        if cursor.get("refused") and not answer.get("failed"):
            told = "; ".join(f"{name}: {reason}" for name, reason in sorted(cursor["refused"].items()))
            result.update(
                failed=True,
                msg=(
                    f"Some objects could not be written again: {told}. All keys are still there and every object is "
                    "readable. Remove what is in the way, for example an admission webhook, and run again."
                ),
            )
        return result
