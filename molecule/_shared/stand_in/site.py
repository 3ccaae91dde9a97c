# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the people of a site have beside its provider: a zone of their name server, and what installs servers. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

ZONE = "example.org"
# A tag of a claim: one string of the TXT record.
MACHINE = re.compile(r'"caravan\.cluster/resource=([^"]+)"')
Records = Mapping[tuple[str, str], Sequence[str]]


@dataclass(frozen=True)
class HostKey:
    public: str
    private: str = field(repr=False)


def new_host_key() -> HostKey:
    key, kinds = ed25519.Ed25519PrivateKey.generate(), serialization
    private = key.private_bytes(kinds.Encoding.PEM, kinds.PrivateFormat.OpenSSH, kinds.NoEncryption())
    public = key.public_key().public_bytes(kinds.Encoding.OpenSSH, kinds.PublicFormat.OpenSSH)
    return HostKey(public.decode(), private.decode())


def seed(machine: str, authorized_keys: Sequence[str], host_key: HostKey) -> str:
    """What the installation of a server leaves for cloud-init. The site makes its host key, so that it is known."""
    config = {
        "hostname": machine,
        "manage_etc_hosts": False,
        "ssh_pwauth": False,
        "ssh_authorized_keys": list(authorized_keys),
        "ssh_keys": {"ed25519_private": host_key.private, "ed25519_public": host_key.public},
    }
    return "#cloud-config\n" + json.dumps(config)


def claimed(records: Records) -> dict[str, str]:
    """The machine that each server is, as the claims in the zone say. Servers are installed under that name."""
    found = {}
    for (name, type), texts in records.items():
        label, _dot, subject = name.partition(".")
        machine = MACHINE.search(texts[0])
        if label == "_server" and type == "TXT" and machine:
            found[subject.partition(".")[0]] = machine[1]
    return found


def addresses(records: Records) -> dict[str, tuple[str, ...]]:
    """By name."""
    return {name: tuple(texts) for (name, type), texts in records.items() if type == "A"}
