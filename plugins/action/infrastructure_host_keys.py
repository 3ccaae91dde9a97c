# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the provider for the host keys that machines show on their consoles."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from ..module_utils._providers import host_keys, registry, spec_read
from ..module_utils._providers.engine import Engine
from ..module_utils._providers.errors import ProviderError
from ..module_utils._providers.patience import Patience
from ..plugin_utils.engine_action import EngineAction


class ActionModule(EngineAction):
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        "provider": {"type": "str", "choices": sorted(registry.STRATEGIES), "required": True},
        "settings": {"type": "dict", "default": {}},
        "description": {"type": "dict", "required": True},
        "path": {"type": "path", "required": True},
        "timeout": {"type": "float", "default": 600},
    }

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        spec = spec_read.read(arguments["description"])
        strategy = registry.strategy(arguments["provider"])(spec, arguments["settings"])
        engine = Engine(strategy, patience=Patience(limit=arguments["timeout"]))
        path = Path(arguments["path"])
        before = _read(path)
        known = host_keys.parse(before)
        if self._task.check_mode:
            found = host_keys.expected(known, engine.machines())
        else:
            found = engine.host_keys(known)
            if found.text != before:
                _write(path, found.text)
        return {
            "changed": bool(found.added or found.gone),
            "added": list(found.added),
            "gone": list(found.gone),
            "diff": {"before": before, "after": found.text},
        }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise ProviderError(f"infrastructure_known_hosts is {path}, which cannot be read: {error}") from error


def _write(path: Path, text: str) -> None:
    """At once, as other runs may be looking at it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise ProviderError(f"infrastructure_known_hosts is {path}, which cannot be written: {error}") from error
