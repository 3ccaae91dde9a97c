# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are told at their first boot."""

from __future__ import annotations

import json

from ansible_collections.caravan.cluster.plugins.module_utils._providers.spec import Access
from ansible_collections.caravan.cluster.plugins.module_utils._providers.user_data import cloud_config

KEY = "ssh-ed25519 AAAA test"


def read(text: str) -> dict[str, object]:
    first, rest = text.split("\n", 1)
    assert first == "#cloud-config"
    return dict(json.loads(rest))


def test_keys_are_the_image_s_own_user_s() -> None:
    config = read(cloud_config("cp-1", Access(authorized_keys=(KEY,))))
    assert config["hostname"] == "cp-1"
    assert config["ssh_authorized_keys"] == [KEY] and "users" not in config


def test_a_user_of_one_s_own_is_made_beside_it() -> None:
    config = read(cloud_config("cp-1", Access("ops", (KEY,))))
    users = config["users"]
    assert isinstance(users, list) and users[0] == "default" and users[1]["ssh_authorized_keys"] == [KEY]
    assert "ssh_authorized_keys" not in config


def test_names_in_the_hosts_file_survive_a_boot() -> None:
    """Images of Debian have cloud-init write the file anew, and the roles' names would be gone."""
    assert read(cloud_config("cp-1", Access()))["manage_etc_hosts"] is False
