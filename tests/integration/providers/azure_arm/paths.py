# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource ids as Azure Resource Manager writes them. Case means nothing in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Path:
    """One request's path, taken apart.

    type: `microsoft.network/virtualnetworks/subnets`, in small letters. is_list: it names all of a type, not one.
    parent: what it lies in, or the scope of a list. action: the last part of a POST.
    """

    text: str
    type: str
    is_list: bool
    parent: str

    @property
    def key(self) -> str:
        return self.text.lower()

    @property
    def name(self) -> str:
        return self.text.rsplit("/", 1)[1]

    @property
    def group(self) -> str:
        """The key of the resource group, or nothing."""
        return group_of(self.key)


def group_of(key: str) -> str:
    parts = key.split("/")
    return "/".join(parts[:5]) if len(parts) > 4 and parts[3] == "resourcegroups" else ""


def parse(text: str) -> Path:
    text = text.rstrip("/")
    head, marker, tail = text.rpartition("/providers/")
    if not marker:
        parts = text.split("/")
        is_list = len(parts) % 2 == 0
        kind = {4: "microsoft.resources/resourcegroups", 5: "microsoft.resources/resourcegroups"}.get(len(parts), "")
        return Path(text, kind, is_list, text.rsplit("/", 1)[0])
    parts = tail.split("/")
    types = "/".join([parts[0], *parts[1::2]]).lower()
    is_list = len(parts) % 2 == 0
    parent = head if len(parts) <= 3 else text.rsplit("/", 1 if is_list else 2)[0]
    return Path(text, types, is_list, parent)
