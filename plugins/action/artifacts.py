# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the address and sha256 of a task's artifacts on the controller, for the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._artifacts.catalogue import ARCHITECTURES, resolve_file
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
            return {**result, "changed": True, "msg": settings.unfilled(), "installed": [], "changed_paths": []}
        source, entries = settings.resolved_source(), catalogue()
        resolved: dict[str, Any] = {}
        # For every architecture: which one the host has is known there, and asking would cost a task of its own.
        for arch in sorted(set(ARCHITECTURES.values())):
            try:
                resolved[arch] = [
                    {
                        **resolve_file(entries, source, wanted["name"], str(wanted["version"]), arch).as_dict(),
                        **_place(wanted),
                    }
                    for wanted in arguments.get("install") or []
                ]
            except ArtifactError as error:
                resolved[arch] = str(error)
            except KeyError as error:
                raise AnsibleActionFail(f"install: every item wants a {error.args[0]}") from error
        arguments.update(resolved=resolved, ca=settings.ca(), direct=source.kind == "mirror")
        result.update(
            self._execute_module(module_name="caravan.cluster.artifacts", module_args=arguments, task_vars=variables)
        )
        # Addresses and digests of every architecture are of no use to a reader.
        result.get("invocation", {}).get("module_args", {}).pop("resolved", None)
        result.get("invocation", {}).get("module_args", {}).pop("ca", None)
        return result


def _place(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"dest": wanted.get("dest"), "wanted": wanted.get("members") or {}}
