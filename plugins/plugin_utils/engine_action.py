# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action that runs the engine on the controller: strategies and SDKs are loaded by name, and no module has them."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase

from ..module_utils._providers.errors import ProviderError


class EngineAction(ActionBase):
    """What the provider refuses fails the task with the provider's reason, and every result tells how long it took."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(self.ARGUMENTS)
        started = time.monotonic()
        try:
            result.update(self.answer(arguments, task_vars or {}))
        except ProviderError as error:
            result.update(failed=True, msg=str(error))
        result["elapsed_seconds"] = round(time.monotonic() - started, 1)
        return result

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The task's result."""
        raise NotImplementedError
