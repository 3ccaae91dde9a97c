# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issues and writes what one host lacks of the cluster's identity; a host that lacks nothing is not touched."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._identity import crypto
from ..module_utils._identity.arguments import LEAVES
from ..module_utils._identity.catalogue import DIRECTORIES, ETCD, derived_of, leaves_of, shared_of
from ..module_utils._identity.leaf import reason_of_age, reason_to_issue, wanted_of
from ..module_utils._identity.pem import certificates


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={**LEAVES, "renew_leaves": {"type": "bool", "default": False}}
        )
        held = variables.get("__identity_held") or {}
        values = (variables.get("__identity_settled") or {}).get("identity")
        if "files" not in held or values is None:
            raise AnsibleActionFail("the identity was not read and settled before")
        reasons: dict[str, str] = {}
        due: dict[str, str] = {}
        files = self._shared(held, values, reasons) + self._derived(held, values, reasons)
        files += self._leaves(held, values, arguments, reasons, due)
        result.update(changed=False, changed_paths=[], reasons=reasons, due=due)
        if not files:
            return result
        parts = held["parts"]
        written = self._execute_module(
            module_name="caravan.cluster.files",
            module_args={
                "directories": [directory for part in parts for directory in DIRECTORIES[part]],
                "files": files,
            },
            task_vars=variables,
        )
        if written.get("failed") or written.get("unreachable"):
            return {key: entry for key, entry in written.items() if key != "invocation"}
        result.update(
            changed=bool(written["changed"]),
            changed_paths=written["changed_paths"],
            diff=[
                {
                    "before_header": path,
                    "after_header": path,
                    "before": "",
                    "after": f"({reasons.get(path, 'directory')})\n",
                }
                for path in written["changed_paths"]
            ],
        )
        return result

    @staticmethod
    def _shared(held: dict[str, Any], values: dict[str, str], reasons: dict[str, str]) -> list[dict[str, Any]]:
        files = []
        for shared in shared_of(held["parts"]):
            attributes = f"{shared.mode} {shared.owner} {shared.group}"
            if shared.path not in held["files"]:
                reasons[shared.path] = "missing"
                if shared.value not in values:
                    raise AnsibleActionFail(f"{shared.path} is missing, and no host that was reached holds it")
                content = values[shared.value]
            elif held["attributes"][shared.path] != attributes:
                reasons[shared.path] = f"{held['attributes'][shared.path]} in place of {attributes}"
                content = held["files"][shared.path]
            else:
                continue
            files.append(_file(shared.path, content, shared.mode, shared.owner, shared.group))
        return files

    @staticmethod
    def _derived(held: dict[str, Any], values: dict[str, str], reasons: dict[str, str]) -> list[dict[str, Any]]:
        files = []
        for derived in derived_of(held["parts"]):
            content = certificates(values[derived.value])[0]
            attributes = f"{derived.mode} {derived.owner} {derived.group}"
            if held["files"].get(derived.path) != content or held["attributes"][derived.path] != attributes:
                reasons[derived.path] = "not the authority that signs"
                files.append(_file(derived.path, content, derived.mode, derived.owner, derived.group))
        return files

    @staticmethod
    def _leaves(
        held: dict[str, Any],
        values: dict[str, str],
        arguments: dict[str, Any],
        reasons: dict[str, str],
        due: dict[str, str],
    ) -> list[dict[str, Any]]:
        now = datetime.now(timezone.utc)
        files = []
        for leaf in leaves_of(held["parts"]):
            wanted = wanted_of(leaf, arguments["name"], arguments["address"], arguments["extra_names"])
            seen = held["certificates"].get(leaf.certificate)
            authority = values.get("etcd_ca.crt", "")
            facts = crypto.read_leaf(seen["pem"], authority, seen["fits_key"], seen["key_is_private"]) if seen else None
            wrong = reason_to_issue(wanted, facts, now)
            reason = wrong or ("asked for" if arguments["renew_leaves"] else "")
            if not reason:
                continue
            # What serves still is renewed on the host, one member after another: never two at a time.
            if facts is not None and ETCD in held["parts"] and wrong in ("", reason_of_age(facts, now)):
                due[leaf.certificate] = reason
                continue
            if "etcd_ca.key" not in values:
                raise AnsibleActionFail(
                    f"{leaf.certificate} has to be issued ({reason}), but no host that was reached holds etcd's CA"
                )
            key, certificate = crypto.issue(
                wanted,
                authority,
                values["etcd_ca.key"],
                arguments["key_algorithm"],
                arguments["leaf_validity_days"],
                now,
            )
            reasons[leaf.key] = reasons[leaf.certificate] = reason
            files.append(_file(leaf.key, key, "0600", leaf.owner, leaf.group))
            files.append(_file(leaf.certificate, certificate, "0644", leaf.owner, leaf.group))
        return files


def _file(path: str, content: str, mode: str, owner: str, group: str) -> dict[str, Any]:
    return {
        "dest": path,
        "secret": True,
        "secret_content": base64.b64encode(content.encode()).decode(),
        "mode": mode,
        "owner": owner,
        "group": group,
    }
