# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says, on the controller, whether every certificate of every host was signed by the authorities that are to stay."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._authority.errors import AuthorityError
from ..module_utils._authority.hostvars import seen_of, unsigned
from ..module_utils._identity.pem import certificates


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "newest": {"type": "dict", "required": True},
                "alone": {"type": "bool", "default": False},
            }
        )
        try:
            seen = seen_of(arguments["hosts"], task_vars or {})
        except AuthorityError as error:
            raise AnsibleActionFail(str(error)) from None
        problems = []
        for host, entry in seen.items():
            wrong = [leaf["what"] for leaf in unsigned(entry, arguments["newest"])]
            if wrong:
                problems.append(f"{host}: not signed by the new authority: {', '.join(wrong)}")
            if arguments["alone"]:
                several = [path for path, text in entry["bundles"].items() if len(certificates(text)) != 1]
                if several or entry["stale"]:
                    problems.append(
                        f"{host}: the old authority is trusted still by {', '.join(several + entry['stale'])}"
                    )
        if problems:
            raise AnsibleActionFail(
                f"The rotation is not complete, and no step was taken beyond this one. {'; '.join(problems)}. "
                "See to these hosts, and run rotate_authorities again."
            )
        result.update(changed=False, certificates=sum(len(entry["leaves"]) for entry in seen.values()))
        return result
