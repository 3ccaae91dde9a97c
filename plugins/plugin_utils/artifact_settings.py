# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions `artifacts` and `images` share: the settings of the role artifacts, and what they resolve to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ..module_utils._artifacts.catalogue import CATALOGUE_PATH, Source
from ..module_utils._artifacts.edges import read_catalogue

COLLECTION = Path(__file__).resolve().parents[2]

#: The defaults of the role artifacts, for tasks of roles that do not depend on it. A test compares the two.
DEFAULTS = {
    "artifacts_source": "upstream",
    "artifacts_mirror_url": "",
    "artifacts_registry": "",
    "artifacts_mirror_ca": "",
    "artifacts_mirror_index": "",
    "artifacts_upstream_url_prefix": "",
    "artifacts_index_override": "",
}


class Settings:
    """The role artifacts' variables as they are for one host."""

    def __init__(self, templar: Any, variables: dict[str, Any]) -> None:
        # Rendered from where they are, a whole set of variables at a time would cost tens of milliseconds a task.
        for name, default in DEFAULTS.items():
            value = templar.template(variables[name]) if name in variables else default
            setattr(self, name.removeprefix("artifacts_"), str(value or ""))

    source: str
    mirror_url: str
    registry: str
    mirror_ca: str
    mirror_index: str
    upstream_url_prefix: str
    index_override: str

    def resolved_source(self) -> Source:
        if self.source == "mirror":
            for name in ("mirror_url", "mirror_index"):
                if not getattr(self, name):
                    raise AnsibleActionFail(f"artifacts_source is mirror, which wants artifacts_{name} to be set")
            return Source("mirror", self.mirror_url, _read_index(self.mirror_index, "artifacts_mirror_index"))
        if self.source != "upstream":
            raise AnsibleActionFail(f"artifacts_source is {self.source!r}; it may be upstream or mirror")
        override = _read_index(self.index_override, "artifacts_index_override") if self.index_override else None
        return Source("upstream", self.upstream_url_prefix, override)

    def unfilled(self) -> str:
        """Why nothing can be said yet, in check mode before a mirror's first fill; empty when it can."""
        if self.source == "mirror" and self.mirror_index and not Path(self.mirror_index).exists():
            return f"the mirror is not filled yet: {self.mirror_index} does not exist"
        return ""

    def ca(self) -> str:
        """The certificate authority of the mirror as PEM, empty for the host's own list."""
        if not self.mirror_ca or not (self.source == "mirror" or self.upstream_url_prefix):
            return ""
        try:
            return Path(self.mirror_ca).read_text()
        except OSError as error:
            raise AnsibleActionFail(f"artifacts_mirror_ca cannot be read: {error}") from error


def catalogue() -> dict[str, Any]:
    return read_catalogue(COLLECTION / CATALOGUE_PATH)


def _read_index(path: str, variable: str) -> dict[str, Any]:
    try:
        return dict(json.loads(Path(path).read_text()))
    except OSError as error:
        raise AnsibleActionFail(
            f"{variable} cannot be read: {error}. The mirror is filled by: ansible-playbook caravan.cluster.mirror"
        ) from error
    except ValueError as error:
        raise AnsibleActionFail(f"{variable}: {path} is not the index of a mirror: {error}") from error
