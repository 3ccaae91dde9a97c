# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the reference and digest of a task's images on the controller, for the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._artifacts.catalogue import resolve_image
from ..module_utils._artifacts.errors import ArtifactError
from ..plugin_utils.artifact_settings import Settings, catalogue


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        settings = Settings(self._templar, variables)
        if self._task.check_mode and settings.unfilled():
            return {**result, "changed": True, "msg": settings.unfilled(), "pulled": []}
        source, entries = settings.resolved_source(), catalogue()
        try:
            arguments["resolved"] = [
                resolve_image(entries, source, wanted["name"], str(wanted["version"])).as_dict()
                for wanted in arguments.get("images") or []
            ]
        except ArtifactError as error:
            raise AnsibleActionFail(str(error)) from error
        except KeyError as error:
            raise AnsibleActionFail(f"images: every item wants a {error.args[0]}") from error
        result.update(
            self._execute_module(module_name="caravan.cluster.images", module_args=arguments, task_vars=variables)
        )
        return result
