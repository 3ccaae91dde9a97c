# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seal and open backups: zstd and age. Sealing needs public keys only, so who seals can never open."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from . import commands
from .errors import BackupError, CommandError

_NATIVE = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_OTHER = re.compile(r"age1[a-z0-9-]+1[02-9ac-hj-np-z]+|ssh-(ed25519|rsa) \S+.*")
_UNCOMPRESS = ("zstd", "--quiet", "--decompress", "--stdout")
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def check_recipients(recipients: Sequence[str]) -> None:
    """BackupError unless there is at least one, and all are public keys that age takes."""
    if not recipients:
        raise BackupError("there is no age recipient, wanted at least one public key (age1...)")
    for recipient in recipients:
        if recipient.upper().startswith("AGE-SECRET-KEY-"):
            raise BackupError("an age recipient is a private key; wanted the public one (age1...)")
        if not (_NATIVE.fullmatch(recipient) and _has_checksum(recipient)) and not _OTHER.fullmatch(recipient):
            raise BackupError(f"'{recipient}' is no age recipient (or mistyped), wanted a public key, age1...")


def seal(source: str, target: str, recipients: Sequence[str], timeout: float) -> None:
    """Compress and encrypt a file."""
    check_recipients(recipients)
    to = [argument for recipient in recipients for argument in ("--recipient", recipient)]
    commands.pipe(["zstd", "--quiet", "-3", "--stdout"], ["age", "--encrypt", *to], source, target, timeout)


def unseal(source: str, target: str, identity_file: str, timeout: float) -> None:
    """Decrypt and uncompress a file. BackupError says whether the key is the wrong one or the file is damaged."""
    try:
        commands.pipe(_decrypt(identity_file), _UNCOMPRESS, source, target, timeout)
    except CommandError as error:
        raise explain(error) from error


def unseal_into(source: str, writer: IO[bytes], identity_file: str, timeout: float) -> None:
    """Decrypt and uncompress a file into an open one; like `unseal`."""
    try:
        commands.pipe_into(_decrypt(identity_file), _UNCOMPRESS, source, writer, timeout)
    except CommandError as error:
        raise explain(error) from error


def encrypt(data: bytes, recipients: Sequence[str], timeout: float) -> bytes:
    """Encrypt what is in memory."""
    check_recipients(recipients)
    to = [argument for recipient in recipients for argument in ("--recipient", recipient)]
    return commands.run(["age", "--encrypt", *to], timeout, data=data)


def decrypt(data: bytes, identity_file: str, timeout: float) -> bytes:
    """Decrypt what is in memory; like `unseal`."""
    try:
        return commands.run(_decrypt(identity_file), timeout, data=data)
    except CommandError as error:
        raise explain(error) from error


def _decrypt(identity_file: str) -> list[str]:
    return ["age", "--decrypt", "--identity", identity_file]


def explain(error: CommandError) -> BackupError:
    """Return what an error of age means."""
    if "no identity matched" in str(error):
        return BackupError("it was encrypted to other recipients: the age identity that was given cannot open it")
    return BackupError(f"it is damaged, or no backup: {error}")


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as reader:
        for block in iter(lambda: reader.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _has_checksum(text: str) -> bool:
    """Whether the checksum of a Bech32 text is right. Source: BIP 173."""
    human, _, data = text.rpartition("1")
    values = [ord(letter) >> 5 for letter in human] + [0] + [ord(letter) & 31 for letter in human]
    check = 1
    for value in [*values, *(_BECH32.index(letter) for letter in data)]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check == 1
