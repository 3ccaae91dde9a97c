# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets as an API server encrypts them in etcd, opened with the keys of its encryption configuration.

    k8s:enc:secretbox:v1:<name of the key>:<24 bytes nonce><XSalsa20-Poly1305 box>

PyNaCl opens the boxes and PyYAML reads the configuration. Both are asked for where they are used, so that whoever does
not open Secrets needs neither. Source: `k8s.io/apiserver/pkg/storage/value/encrypt/secretbox`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from .errors import BackupError

ENCRYPTED = b"k8s:enc:"
_PREFIX = b"k8s:enc:secretbox:v1:"
_KEY_BYTES = 32


def is_encrypted(value: bytes) -> bool:
    return value.startswith(ENCRYPTED)


def key_name(value: bytes) -> str:
    """Return the name of the key a value is under. BackupError when another method than secretbox encrypted it."""
    return _split(value)[0].decode(errors="replace")


def keys_of(configuration: str) -> dict[str, bytes]:
    """Return the secretbox keys of an EncryptionConfiguration, by name. Secret."""
    try:
        import yaml
    except ImportError as error:
        raise BackupError("PyYAML is not installed (Debian: python3-yaml)") from error
    try:
        document: Any = yaml.safe_load(configuration)
        found = {
            str(key["name"]): base64.b64decode(key["secret"], validate=True)
            for entry in document["resources"]
            for provider in entry["providers"]
            for key in (provider.get("secretbox") or {}).get("keys", [])
        }
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, binascii.Error):
        # The error itself may quote a key.
        raise BackupError(
            "the encryption configuration of the identity bundle is not an EncryptionConfiguration"
        ) from None
    short = sorted(name for name, key in found.items() if len(key) != _KEY_BYTES)
    if short:
        raise BackupError(f"the encryption configuration has keys that are not {_KEY_BYTES} bytes: {', '.join(short)}")
    return found


def open_value(key: str, value: bytes, keys: Mapping[str, bytes]) -> bytes:
    """Return what is in an encrypted value. Secret. BackupError says why it cannot be opened.

    `key`, the object's name in etcd, is for messages only: secretbox authenticates no additional data.
    """
    name, box = _split(value)
    title = name.decode(errors="replace")
    if title not in keys:
        known = ", ".join(sorted(keys)) or "none"
        raise BackupError(
            f"{key} is under the encryption key {title}, which the identity bundle lacks (it has: {known})"
        )
    try:
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox
    except ImportError as error:
        raise BackupError("PyNaCl is not installed (Debian: python3-nacl)") from error
    try:
        return bytes(SecretBox(keys[title]).decrypt(box))
    except (CryptoError, ValueError):
        raise BackupError(f"{key} does not open with the key {title} of the identity bundle") from None


def _split(value: bytes) -> tuple[bytes, bytes]:
    """(name of the key, nonce and box)"""
    if not value.startswith(_PREFIX):
        method = value[len(ENCRYPTED) :].split(b":", 1)[0].decode(errors="replace")[:40]
        raise BackupError(f"encrypted by {method}, wanted secretbox")
    name, separator, box = value[len(_PREFIX) :].partition(b":")
    if not separator:
        raise BackupError("encrypted by secretbox, but cut off")
    return name, box
