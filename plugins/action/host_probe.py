# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs `caravan.cluster.host_probe` and sets the host's clock against the controller's."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._preflight.clock import compare, doubtful

REPEATS = 3


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        sent = time.time()
        answer = self._execute_module(
            module_name="caravan.cluster.host_probe", module_args=dict(self._task.args), task_vars=variables
        )
        received = time.time()
        result.update(answer)
        seen = result.get("ansible_facts", {}).get("caravan_host")
        if seen:
            clock = compare(seen["clock"], sent, received)
            for _repeat in range(REPEATS):
                if not doubtful(clock):
                    break
                clock = min(clock, self._read_again(variables) or clock, key=lambda reading: reading["error"])
            seen["clock"] = clock
        return result

    def _read_again(self, variables: dict[str, Any]) -> dict[str, float] | None:
        sent = time.time()
        answer = self._execute_module(
            module_name="caravan.cluster.host_probe", module_args={"clock_only": True}, task_vars=variables
        )
        received = time.time()
        return compare(answer["clock"], sent, received) if "clock" in answer else None
