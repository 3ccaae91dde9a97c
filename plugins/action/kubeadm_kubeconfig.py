# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the administrator's kubeconfig from a control-plane host to the controller."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._kubeadm import kubeconfig, steps, users

ADMIN_CONF = "/etc/kubernetes/admin.conf"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, wanted = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "cluster_name": {"type": "str", "required": True},
                "server": {"type": "str", "required": True},
                "tls_server_name": {"type": "str", "default": ""},
                "ca_sha256": {"type": "str", "required": True},
                "renew_before": {"type": "int", "default": 720},
            }
        )
        path = Path(wanted["path"])
        reason = users.reason_to_fetch(
            path.read_text() if path.is_file() else "",
            wanted,
            datetime.datetime.now(datetime.timezone.utc),
        )
        if not reason and path.stat().st_mode & 0o077:
            reason = "others may read it"
        if reason and not self._task.check_mode:
            text = self._admin_conf(task_vars or {})
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            steps.write_file(
                path,
                kubeconfig.for_users(text, wanted["cluster_name"], wanted["server"], wanted["tls_server_name"]),
            )
        result.update(changed=bool(reason), reason=reason)
        return result

    def _admin_conf(self, task_vars: dict[str, Any]) -> str:
        # What the host answers is a secret: the connection must not print it, however verbose the run is.
        shown = self._play_context.no_log
        self._play_context.no_log = True
        try:
            answer = self._execute_module(
                module_name="ansible.builtin.slurp", module_args={"src": ADMIN_CONF}, task_vars=task_vars
            )
        finally:
            self._play_context.no_log = shown
        if answer.get("failed"):
            raise AnsibleActionFail(f"{ADMIN_CONF} cannot be read: {answer.get('msg')}")
        return base64.b64decode(answer["content"]).decode()
