# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a resource is: two tags that both have to match, and two more that say which one it is.

Nothing is ever told by where it lies. A resource in our network, project or resource group without both tags is
somebody else's, and one with another cluster's uid is too, however it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .spec import Spec


@dataclass(frozen=True)
class Ownership:
    """separator: what stands in tag names where a slash would; some providers do not allow slashes."""

    infra_id: str
    uid: str
    separator: str = "/"

    @classmethod
    def of(cls, spec: Spec, separator: str = "/") -> Ownership:
        return cls(spec.infra_id, spec.uid, separator)

    @property
    def cluster_tag(self) -> str:
        """The name of the first tag, which cloud controllers look for too. Its value is `owned`."""
        return self.separator.join(("kubernetes.io", "cluster", self.infra_id))

    @property
    def uid_tag(self) -> str:
        return self.separator.join(("caravan.cluster", "uid"))

    @property
    def resource_tag(self) -> str:
        return self.separator.join(("caravan.cluster", "resource"))

    @property
    def stamp_tag(self) -> str:
        return self.separator.join(("caravan.cluster", "stamp"))

    def identifying(self) -> dict[str, str]:
        """The two tags of ownership: what list calls filter by."""
        return {self.cluster_tag: "owned", self.uid_tag: self.uid}

    def tags(self, name: str, stamp: str = "") -> dict[str, str]:
        """All tags of a new resource. Without a stamp it counts as unfinished: `finished` is set by its last call."""
        tags = {**self.identifying(), self.resource_tag: name}
        return {**tags, self.stamp_tag: stamp} if stamp else tags

    def owns(self, tags: Mapping[str, str]) -> bool:
        return self.resource_tag in tags and all(tags.get(key) == value for key, value in self.identifying().items())

    def name(self, tags: Mapping[str, str]) -> str:
        return tags[self.resource_tag]

    def stamp(self, tags: Mapping[str, str]) -> str:
        return tags.get(self.stamp_tag, "")
