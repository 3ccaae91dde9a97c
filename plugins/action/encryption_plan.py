# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans, on the controller and in memory, how the keys of all control-plane hosts are rotated."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime, timezone
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._encryption.errors import EncryptionError
from ..module_utils._encryption.layout import Key, Layout, build, parse
from ..module_utils._encryption.loaded import digest
from ..module_utils._encryption.planner import ADD, PROMOTE, REMOVE, REWRITE, STAGES, Plan, plan

WORDS = {
    ADD: "let API servers read what is under {key}: {hosts}",
    PROMOTE: "let API servers write under {key}: {hosts}",
    REWRITE: "write all {resources} again, and see in etcd that nothing is left under another key",
    REMOVE: "take all other keys away: {hosts}",
}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "stored": {"type": "dict", "required": True},
                "resources": {"type": "list", "elements": "str", "required": True},
            }
        )
        seen = _seen(arguments["hosts"], task_vars or {})
        try:
            layouts = {host: _layout(host, entry["content"]) for host, entry in seen.items()}
            day = datetime.now(timezone.utc).strftime("%Y%m%d")
            settled = all(entry["sha256"] == entry["loaded_sha256"] for entry in seen.values())
            decided = plan(layouts, arguments["stored"], arguments["resources"], _new_key, day, settled)
        except EncryptionError as error:
            raise AnsibleActionFail(str(error)) from None
        steps = decided.steps(layouts)
        result.update(
            changed=False,
            newest=decided.newest,
            begun=decided.begun,
            resources=list(decided.resources),
            steps=steps,
            told=[_words(decided, step) for step in steps],
            targets={host: _targets(decided, host, entry["content"]) for host, entry in seen.items()},
            # Failures above stay readable; a success carries keys and is never shown.
            _ansible_no_log=True,
        )
        return result


def _seen(hosts: list[str], variables: dict[str, Any]) -> dict[str, dict[str, Any]]:
    seen: dict[str, dict[str, Any]] = {}
    problems = []
    for host in hosts:
        entry = (variables["hostvars"].get(host) or {}).get("__key_rotation_seen") or {}
        if "content" not in entry:
            problems.append(f"{host}: it was not reached, and all control-plane hosts are needed")
        elif entry["problem"]:
            problems.append(f"{host}: {entry['problem']}")
        seen[host] = entry
    if problems:
        raise AnsibleActionFail(f"Keys cannot be rotated, and nothing was changed. {'; '.join(problems)}")
    return seen


def _layout(host: str, content: str) -> Layout:
    try:
        return parse(yaml.safe_load(content))
    except EncryptionError as error:
        raise EncryptionError(f"{host}: its encryption configuration cannot be rotated: {error}") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise EncryptionError(f"{host}: its encryption configuration cannot be read; is it damaged?") from None


def _new_key(name: str) -> Key:
    return Key(name, base64.b64encode(secrets.token_bytes(32)).decode())


def _targets(decided: Plan, host: str, content: str) -> dict[str, dict[str, str]]:
    """The contents after each stage, each with the digest of the one before. What means the same is left as it is."""
    targets = {}
    for stage in STAGES:
        before, document = content, build(decided.targets[host][stage])
        if yaml.safe_load(before) != document:
            content = yaml.safe_dump(document, sort_keys=False)
        targets[stage] = {"content": content, "replaces": digest(before.encode())}
    return targets


def _words(decided: Plan, step: dict[str, Any]) -> str:
    return WORDS[step["step"]].format(
        key=decided.newest, hosts=", ".join(step["hosts"]), resources=", ".join(decided.resources)
    )
