# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategies by name. A strategy, and its SDK with it, is imported when it is asked for and not before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from .base import Strategy
from .errors import ProviderError

# provider: (module beside this one, class)
STRATEGIES = {
    "aws": ("aws.strategy", "Aws"),
    "azure": ("azure.strategy", "Azure"),
    "baremetal": ("baremetal.strategy", "Baremetal"),
    "local": ("local.strategy", "Local"),
    "openstack": ("openstack.strategy", "OpenStack"),
}


def strategy(provider: str) -> type[Strategy]:
    module, name = STRATEGIES[provider]
    try:
        found = importlib.import_module(f".{module}", __package__)
    except ImportError as error:
        raise ProviderError(f"the strategy for {provider} cannot be loaded: {error}") from error
    loaded: type[Strategy] = getattr(found, name)
    return loaded


def with_secrets(settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a strategy gets them. Where there are no secrets, none are said to be."""
    return {**settings, "secrets": secrets} if secrets else dict(settings)
