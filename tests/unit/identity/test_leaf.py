# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a certificate is issued, and what it says then."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from ansible_collections.caravan.cluster.plugins.module_utils._identity.catalogue import LEAVES
from ansible_collections.caravan.cluster.plugins.module_utils._identity.leaf import (
    LeafHeld,
    reason_to_issue,
    wanted_of,
)

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
SERVER, _PEER, CLIENT, API_SERVER = LEAVES
WANTED = wanted_of(SERVER, "node1", "10.0.0.1", ["etcd.example.org"])
HELD = LeafHeld(
    common_name="node1",
    usages=frozenset({"server", "client"}),
    names=frozenset({"node1", "localhost", "etcd.example.org"}),
    addresses=frozenset({"10.0.0.1", "127.0.0.1", "::1"}),
    not_before=NOW - timedelta(days=100),
    not_after=NOW + timedelta(days=265),
    signed_by_authority=True,
)


def test_a_good_certificate_stays() -> None:
    assert reason_to_issue(WANTED, HELD, NOW) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fits_key": False}, "its key is missing or another one"),
        ({"key_is_private": False}, "its key could be read by others"),
        ({"signed_by_authority": False}, "signed by another authority"),
        ({"common_name": "node2"}, "its name is node2"),
        ({"usages": frozenset({"server"})}, "its usages differ"),
        ({"names": frozenset({"node1"})}, "its names or addresses differ"),
        ({"addresses": frozenset({"10.0.0.2"})}, "its names or addresses differ"),
        ({"not_after": NOW - timedelta(days=1)}, "expired"),
        ({"not_after": NOW + timedelta(days=40)}, "29% of its life is left"),
    ],
)
def test_reasons(change: dict, reason: str) -> None:
    assert reason_to_issue(WANTED, replace(HELD, **change), NOW) == reason


def test_missing() -> None:
    assert reason_to_issue(WANTED, None, NOW) == "missing"


def test_thirty_percent_is_the_limit() -> None:
    assert reason_to_issue(WANTED, replace(HELD, not_after=NOW + timedelta(days=43)), NOW) == ""


@pytest.mark.parametrize("leaf", [CLIENT, API_SERVER])
def test_clients_have_no_addresses(leaf: Any) -> None:
    wanted = wanted_of(leaf, "node1", "10.0.0.1", ["etcd.example.org"])
    assert not wanted.names
    assert not wanted.addresses
    assert wanted.usages == {"client"}


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048"])
def test_what_is_issued_is_what_was_wanted(algorithm: str) -> None:
    authority_key = crypto.generate_key(algorithm)
    authority = crypto.authority_certificate(authority_key, "etcd-ca", 3650, NOW)
    assert crypto.is_pair(authority, authority_key)
    key, certificate = crypto.issue(WANTED, authority, authority_key, algorithm, 365, NOW)
    assert crypto.is_pair(certificate, key)
    held = crypto.read_leaf(certificate, authority, fits_key=True, key_is_private=True)
    assert reason_to_issue(WANTED, held, NOW) == ""
    other = crypto.authority_certificate(crypto.generate_key(algorithm), "etcd-ca", 3650, NOW)
    stranger = crypto.read_leaf(certificate, other, fits_key=True, key_is_private=True)
    assert reason_to_issue(WANTED, stranger, NOW) == "signed by another authority"


def test_an_authority_made_again_from_its_key_still_vouches() -> None:
    authority_key = crypto.generate_key("ecdsa-p256")
    first = crypto.authority_certificate(authority_key, "etcd-ca", 3650, NOW)
    _key, certificate = crypto.issue(WANTED, first, authority_key, "ecdsa-p256", 365, NOW)
    again = crypto.authority_certificate(authority_key, "etcd-ca", 3650, NOW + timedelta(days=1))
    leaf = crypto.read_leaf(certificate, again, True, True)
    assert leaf is not None
    assert leaf.signed_by_authority


def test_a_certificate_does_not_outlive_its_authority() -> None:
    authority_key = crypto.generate_key("ecdsa-p256")
    authority = crypto.authority_certificate(authority_key, "etcd-ca", 10, NOW)
    _key, certificate = crypto.issue(WANTED, authority, authority_key, "ecdsa-p256", 365, NOW)
    assert crypto.not_after(certificate) == crypto.not_after(authority)


def test_damaged_certificates_are_missing() -> None:
    assert crypto.read_leaf("nonsense", "nonsense", True, True) is None


def test_public_key() -> None:
    key = crypto.generate_key("rsa-2048")
    assert key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert crypto.is_public_key_of(crypto.public_key(key), key)
    assert not crypto.is_public_key_of(crypto.public_key(crypto.generate_key("ecdsa-p256")), key)


def test_encryption_configuration() -> None:
    text = crypto.encryption_configuration(["secrets", "configmaps"])
    document = yaml.safe_load(text)
    providers = document["resources"][0]["providers"]
    assert [next(iter(provider)) for provider in providers] == ["secretbox", "identity"]
    assert crypto.encrypted_resources(text) == ["secrets", "configmaps"]
    assert crypto.encryption_configuration(["secrets"]) != crypto.encryption_configuration(["secrets"])
    assert crypto.normalise("encryption", text) == crypto.normalise("encryption", "# comment\n" + text)
