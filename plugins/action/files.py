# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the templates of a `caravan.cluster.files` task on the controller and hands all to the module at once."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

# Fixed, unlike Ansible's own default with its host and time: the same input must give the same file.
MANAGED = "Managed by caravan.cluster: changes made here are overwritten."


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        arguments["files"] = [self._file(dict(wanted), variables) for wanted in arguments.get("files") or []]
        result.update(
            self._execute_module(module_name="caravan.cluster.files", module_args=arguments, task_vars=variables)
        )
        return result

    def _file(self, wanted: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        dest = wanted.get("dest")
        source = wanted.pop("src", None)
        if (source is None) == (wanted.get("content") is None):
            raise AnsibleActionFail(f"{dest}: exactly one of src and content is wanted")
        if source is not None:
            wanted["content"] = self._render(source, str(dest), variables)
        if wanted.get("secret"):
            wanted["secret_content"] = base64.b64encode(wanted.pop("content").encode()).decode()
        return wanted

    def _render(self, source: str, dest: str, variables: dict[str, Any]) -> str:
        path = Path(self._find_needle("templates", source))
        template = trust_as_template(self._loader.get_text_file_contents(str(path)))
        search = [str(path.parent)]
        for folder in variables.get("ansible_search_path", []):
            search += [str(Path(folder) / "templates"), folder]
        templar = self._templar.copy_with_new_env(
            searchpath=search,
            available_variables={
                **variables,
                "ansible_managed": MANAGED,
                "template_path": source,
                "template_destpath": dest,
            },
        )
        rendered = templar.template(
            template, escape_backslashes=False, overrides={"trim_blocks": True, "lstrip_blocks": False}
        )
        return "" if rendered is None else str(rendered)
