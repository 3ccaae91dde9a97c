# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._backup import secretbox
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from nacl.secret import SecretBox

KEY = bytes(range(32))
OTHER = bytes(32)


def encrypted(data: bytes, key: bytes = KEY, name: str = "key1") -> bytes:
    return b"k8s:enc:secretbox:v1:" + name.encode() + b":" + bytes(SecretBox(key).encrypt(data))


def configuration(**keys: bytes) -> str:
    entries = [{"name": name, "secret": base64.b64encode(key).decode()} for name, key in keys.items()]
    providers = [{"secretbox": {"keys": entries}}, {"identity": {}}]
    return yaml.safe_dump(
        {"kind": "EncryptionConfiguration", "resources": [{"resources": ["secrets"], "providers": providers}]}
    )


def test_opens_what_was_encrypted() -> None:
    value = encrypted(b"k8s\x00plain")
    assert secretbox.is_encrypted(value)
    assert not secretbox.is_encrypted(b"k8s\x00plain")
    assert secretbox.key_name(value) == "key1"
    assert secretbox.open_value("/registry/secrets/a/b", value, {"key1": KEY}) == b"k8s\x00plain"


def test_keys_of_a_configuration_caravan_makes() -> None:
    keys = secretbox.keys_of(crypto.encryption_configuration(["secrets"]))
    assert list(keys) == ["key1"]
    assert len(keys["key1"]) == 32


def test_all_keys_of_a_rotation_are_known() -> None:
    assert secretbox.keys_of(configuration(key2=KEY, key1=OTHER)) == {"key2": KEY, "key1": OTHER}


@pytest.mark.parametrize(
    ("value", "keys", "words"),
    [
        (encrypted(b"x", name="key2"), {"key1": KEY}, r"key key2, which the identity bundle lacks \(it has: key1\)"),
        (encrypted(b"x"), {}, r"lacks \(it has: none\)"),
        (encrypted(b"x"), {"key1": OTHER}, "does not open with the key key1"),
        (encrypted(b"x")[:-1], {"key1": KEY}, "does not open"),
        (encrypted(b"x")[:30], {"key1": KEY}, "does not open"),
        (b"k8s:enc:secretbox:v1:key1", {"key1": KEY}, "cut off"),
        (b"k8s:enc:aescbc:v1:key1:abc", {"key1": KEY}, "encrypted by aescbc, wanted secretbox"),
    ],
    # What is encrypted is never twice the same, and tests have to have the same names in every process.
    ids=["unknown key", "no key", "wrong key", "truncated", "cut short", "without a value", "another cipher"],
)
def test_what_cannot_be_opened_is_said(value: bytes, keys: dict[str, bytes], words: str) -> None:
    with pytest.raises(BackupError, match=words):
        secretbox.open_value("/registry/secrets/a/b", value, keys)


@pytest.mark.parametrize(
    "text", ["", "a: [", "resources: 3", "resources: [{providers: [{secretbox: {keys: [{name: a, secret: '*'}]}}]}]"]
)
def test_another_document_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(BackupError, match="is not an EncryptionConfiguration") as refused:
        secretbox.keys_of(text)
    assert refused.value.__cause__ is None


def test_a_short_key_is_refused() -> None:
    with pytest.raises(BackupError, match="not 32 bytes: key1"):
        secretbox.keys_of(configuration(key1=b"short"))
