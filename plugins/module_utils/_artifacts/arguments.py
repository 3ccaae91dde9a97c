# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of the modules that fill a mirror."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .edges import read_catalogue
from .filling import Mirror


def mirror_arguments() -> dict[str, Any]:
    """The argument spec that the documentation fragment `mirror` describes."""
    return {
        "catalogue_dir": {"type": "path", "required": True},
        "build_dir": {"type": "path", "required": True},
        "data_dir": {"type": "path", "required": True},
        "cache_dir": {"type": "path", "required": True},
        "fill": {"type": "str", "choices": ["build", "download"], "default": "build"},
        "go": {"type": "str", "default": "go"},
        "debian_suite": {"type": "str", "default": "bookworm"},
        "debian_sources": {"type": "list", "elements": "str", "default": []},
        "upstream_url_prefix": {"type": "str", "default": ""},
        "upstream_ca": {"type": "str", "default": ""},
    }


def mirror(parameters: Mapping[str, Any]) -> Mirror:
    """The mirror that a module's parameters speak of."""
    return Mirror(
        catalogue=read_catalogue(Path(parameters["catalogue_dir"])),
        build_directory=Path(parameters["build_dir"]),
        data=Path(parameters["data_dir"]),
        cache=Path(parameters["cache_dir"]),
        go=parameters["go"],
        suite=parameters["debian_suite"],
        debian_sources=parameters["debian_sources"],
        upstream_prefix=parameters["upstream_url_prefix"],
        upstream_ca=parameters["upstream_ca"],
    )
