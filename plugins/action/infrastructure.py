# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a provider's resources to what a description says."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from ansible.utils.display import Display

from ..module_utils._providers import registry, saved, spec_read, text
from ..module_utils._providers.engine import Engine, check_consent
from ..module_utils._providers.errors import ProviderError
from ..module_utils._providers.model import Plan
from ..module_utils._providers.planner import Options
from ..plugin_utils import port_table
from ..plugin_utils.engine_action import EngineAction


class ActionModule(EngineAction):
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        "provider": {"type": "str", "choices": sorted(registry.STRATEGIES), "required": True},
        "settings": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "description": {"type": "dict", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "revert_drift": {"type": "bool", "default": False},
        "delete_data": {"type": "list", "elements": "str", "default": []},
        "consent": {"type": "str", "default": ""},
        "save_plan": {"type": "path"},
        "approved_plan": {"type": "path"},
    }

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        description = dict(arguments["description"])
        if "ports" not in description:
            description["ports"] = port_table.ports(self._loader, self._templar, variables)
        provider, present = arguments["provider"], arguments["state"] == "present"
        settings = registry.with_secrets(arguments["settings"], arguments["secrets"])
        strategy = registry.strategy(provider)(spec_read.read(description), settings)
        display = Display()
        engine = Engine(strategy, progress=lambda line: display.display(f"  {line}"))
        engine.validate()
        plan = engine.plan(present, Options(arguments["revert_drift"], frozenset(arguments["delete_data"])))
        lines = text.lines(plan)
        decisions = [asdict(decision) for decision in engine.decisions()]
        for decision in decisions:
            display.display("  {about}: {chosen} ({because})".format(**decision))
        infra_id = engine.spec.infra_id
        if arguments["approved_plan"]:
            saved.check(_read(arguments["approved_plan"]), plan, provider, infra_id, arguments["settings"])
        if arguments["save_plan"]:
            _write(arguments["save_plan"], saved.document(plan, provider, infra_id, arguments["settings"]))
        result: dict[str, Any] = {
            "changed": bool(plan),
            "plan": lines,
            "drift": [{"key": drift.key, "field": drift.change.field} for drift in plan.drift],
            "decisions": decisions,
            "fingerprint": plan.fingerprint,
            "diff": {"prepared": "".join(f"{line}\n" for line in lines)},
        }
        if plan and not self._task.check_mode:
            self._apply(engine, plan, arguments["consent"])
        if present and not (plan and self._task.check_mode):
            # Back and forth through JSON: what tuples and mappings of the core are is not Ansible's business.
            result["outputs"] = json.loads(json.dumps(engine.outputs().plain()))
        return result

    @staticmethod
    def _apply(engine: Engine, plan: Plan, consent: str) -> None:
        check_consent(plan, engine.spec, consent)
        engine.apply(plan)


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProviderError(f"approved_plan {path} cannot be read: {error}") from error


def _write(path: str, document: dict[str, Any]) -> None:
    """Only for its owner: a plan tells a lot about a network."""
    try:
        target = Path(path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
    except OSError as error:
        raise ProviderError(f"save_plan {path} cannot be written: {error}") from error
