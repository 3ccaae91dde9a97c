# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an encryption configuration says, and what is written."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._encryption.errors import EncryptionError
from ansible_collections.caravan.cluster.plugins.module_utils._encryption.layout import (
    Key,
    Layout,
    build,
    covers,
    missing_from,
    parse,
)

ONE, TWO = Key("key1", "b25l"), Key("key-20260901-2", "dHdv")


def document(*providers: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "EncryptionConfiguration", "resources": [{"resources": ["secrets"], "providers": list(providers)}]}


def secretbox(*keys: Key) -> dict[str, Any]:
    return {"secretbox": {"keys": [{"name": key.name, "secret": key.secret} for key in keys]}}


@pytest.mark.parametrize(
    "layout",
    [
        Layout((ONE,), ("secrets",)),
        Layout((TWO, ONE), ("secrets", "configmaps")),
        Layout((ONE, TWO), ("secrets",), ("configmaps",)),
        Layout((ONE,), ("secrets", "*.apps", "*.*")),
    ],
)
def test_what_is_written_says_the_same(layout: Layout) -> None:
    assert parse(build(layout)) == layout


def test_what_is_more_specific_comes_first_and_names_of_an_entry_do_not_overlap() -> None:
    entries = build(Layout((ONE,), ("*.*", "secrets"), ("*.apps", "configmaps")))["resources"]
    assert [entry["resources"] for entry in entries] == [["secrets"], ["configmaps"], ["*.apps"], ["*.*"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "Secret", "resources": []},
        document({"aescbc": {"keys": []}}, {"identity": {}}),
        document({"kms": {"name": "vault"}}, secretbox(ONE)),
        document({"identity": {}}),
        document(secretbox()),
        document(secretbox(ONE, Key("key1", "b3RoZXI="))),
    ],
)
def test_what_is_not_caravans_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EncryptionError):
        parse(wrong)


def test_different_keys_for_different_resources_are_refused() -> None:
    both = document(secretbox(ONE))
    both["resources"] += document(secretbox(TWO))["resources"]
    with pytest.raises(EncryptionError, match="different keys"):
        parse(both)


@pytest.mark.parametrize(
    ("pattern", "resource", "covered"),
    [
        ("*.*", "secrets", True),
        ("*.", "secrets", True),
        ("*.", "deployments.apps", False),
        ("*.apps", "deployments.apps", True),
        ("*.apps", "secrets", False),
        ("secrets", "secrets", True),
        ("secrets", "configmaps", False),
    ],
)
def test_patterns(pattern: str, resource: str, covered: bool) -> None:
    assert covers(pattern, resource) is covered


def test_only_what_no_entry_takes_in_is_missing() -> None:
    layout = Layout((ONE,), ("secrets", "*.apps"))
    assert missing_from(["secrets", "deployments.apps", "configmaps"], layout) == ("configmaps",)


def test_a_key_is_not_shown() -> None:
    assert ONE.secret not in repr(Layout((ONE,), ("secrets",)))
