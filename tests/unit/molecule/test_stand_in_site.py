# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site does beside its provider: it installs servers, and has names."""

from __future__ import annotations

import json

from stand_in import site


def test_a_server_is_installed_as_the_machine_that_it_has_been_claimed_for() -> None:
    claim = '"kubernetes.io/cluster/demo-0a1b2=owned" "caravan.cluster/resource=worker-1" "caravan.cluster/pool=worker"'
    records = {
        ("_server.r1u20.example.org", "TXT"): [claim],
        ("_record.api.demo.example.org", "TXT"): ['"caravan.cluster/resource=api"'],
        ("api.demo.example.org", "A"): ["10.0.0.9"],
        ("_server.r1u30.example.org", "TXT"): ['"somebody else\'s"'],
    }
    assert site.claimed(records) == {"r1u20": "worker-1"}
    assert site.addresses(records) == {"api.demo.example.org": ("10.0.0.9",)}


def test_a_server_finds_its_name_who_may_log_in_and_its_host_key() -> None:
    key = site.new_host_key()
    text = site.seed("worker-1", ["ssh-ed25519 AAAA me"], key)
    head, config = text.split("\n", 1)
    found = json.loads(config)
    assert head == "#cloud-config" and found["hostname"] == "worker-1"
    assert found["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me"] and found["ssh_pwauth"] is False
    assert found["ssh_keys"] == {"ed25519_private": key.private, "ed25519_public": key.public}
    assert key.public.startswith("ssh-ed25519 ") and key.private not in repr(key)
