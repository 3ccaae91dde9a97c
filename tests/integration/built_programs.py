# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs that tests run: what a mirror is filled with, built from pinned modules or taken from the cache."""

from __future__ import annotations

import functools
from pathlib import Path

from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.edges import read_catalogue
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.filling import Mirror

REPOSITORY = Path(__file__).resolve().parents[2]


@functools.cache
def programs(name: str, version: str) -> Path:
    """The directory of a component's programs, built now or before."""
    files = REPOSITORY / "roles" / "artifacts" / "files"
    cache = REPOSITORY / ".caravan" / "cache"
    mirror = Mirror(read_catalogue(files / "catalogue"), files / "build", cache / "mirror", cache / "build")
    with mirror.locked():
        directory, _info = mirror.builder.programs(mirror.recipe(name, version, "amd64"))
    return Path(directory)
