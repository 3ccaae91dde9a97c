# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's certificates on a host that holds etcd's authority: how old they are, issued anew, seen in use."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .._etcd.client import Gateway, tls_context
from .._etcd.model import EtcdError
from .._identity import crypto
from .._identity.catalogue import CONTROL_PLANE, ETCD, ETCD_PKI, KUBERNETES_PKI, LeafFile, leaves_of
from .._identity.held import certificate_of
from .._identity.leaf import LeafHeld, reason_of_age, reason_to_issue, wanted_of
from .._kubeadm.certificates import fingerprint, shown
from .errors import CertificateError

AUTHORITIES = {ETCD: f"{ETCD_PKI}/ca.crt", CONTROL_PLANE: f"{KUBERNETES_PKI}/etcd-ca.crt"}
AUTHORITY_KEY = f"{ETCD_PKI}/ca.key"


@dataclass(frozen=True)
class Site:
    """What etcd's certificates say of a host, and how new ones are made. `days`: how long they live.

    `local`: the client URL of the host's own member. `address`: where its peers reach it.
    """

    name: str
    address: str
    extra_names: Sequence[str] = ()
    key_algorithm: str = "ecdsa-p256"
    days: float = 365
    local: str = "https://127.0.0.1:2379"
    peer_port: int = 2380


@dataclass(frozen=True)
class Leaf:
    """A certificate as it was found. `aged`: why it has to be renewed. `wrong`: what else is not as it has to be."""

    file: LeafFile
    held: LeafHeld | None
    aged: str = ""
    wrong: str = ""


def on_host(parts: Sequence[str], site: Site, now: datetime) -> list[Leaf]:
    """Return etcd's certificates on this host, in the order in which they are renewed."""
    found = []
    for file in leaves_of(list(parts)):
        seen = certificate_of(file)
        held = None
        if seen is not None:
            authority = _read(AUTHORITIES[file.part])
            held = crypto.read_leaf(seen["pem"], authority, seen["fits_key"], seen["key_is_private"])
        reason = reason_to_issue(wanted_of(file, site.name, site.address, site.extra_names), held, now)
        aged = reason_of_age(held, now) if held is not None else ""
        found.append(Leaf(file, held, aged, reason if reason != aged else ""))
    return found


def can_issue() -> bool:
    """Say whether this host holds the authority, as members of etcd do."""
    return Path(AUTHORITY_KEY).exists()


def renew(leaf: Leaf, site: Site, now: datetime) -> None:
    """Issue a certificate anew and put it in the place of the old one. etcd reads both files at every handshake."""
    wanted = wanted_of(leaf.file, site.name, site.address, site.extra_names)
    authority, authority_key = _read(AUTHORITIES[ETCD]), _read(AUTHORITY_KEY)
    # As in the moment in which an authority is replaced. What is signed now would be of no use.
    if not crypto.is_pair(authority, authority_key):
        raise CertificateError(f"{AUTHORITY_KEY} is not the key of the certificate in {AUTHORITIES[ETCD]}")
    key, certificate = crypto.issue(wanted, authority, authority_key, site.key_algorithm, site.days, now)
    prepared = [
        (_prepare(leaf.file.key, key, 0o600, leaf.file), leaf.file.key),
        (_prepare(leaf.file.certificate, certificate, 0o644, leaf.file), leaf.file.certificate),
    ]
    # One right after the other: in between, the two do not fit, and a handshake would fail.
    for temporary, path in prepared:
        temporary.replace(path)


def in_use(leaf: Leaf, site: Site) -> str | None:
    """Return None when a renewed certificate is seen to be used, or to be of use; else what was seen."""
    name = Path(leaf.file.certificate).name
    port = {"server.crt": int(site.local.rsplit(":", 1)[1]), "peer.crt": site.peer_port}.get(name)
    if port is None:
        local = gateway(site, {}, leaf.file.certificate, leaf.file.key)
        return None if local.is_healthy(site.local) else local.errors[site.local]
    address = "127.0.0.1" if name == "server.crt" else site.address
    try:
        seen = shown(address, port)
    except OSError as error:
        return f"{address}:{port}: {error}"
    if seen != fingerprint(_read(leaf.file.certificate)):
        return f"{address}:{port} shows its former certificate still"
    return None


def gateway(
    site: Site,
    members: dict[str, str],
    certificate: str = f"{ETCD_PKI}/client.crt",
    key: str = f"{ETCD_PKI}/client.key",
) -> Gateway:
    """Return a client of etcd with one of this host's certificates."""
    authority = AUTHORITIES[ETCD] if certificate.startswith(ETCD_PKI) else AUTHORITIES[CONTROL_PLANE]
    try:
        context = tls_context(authority, certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise EtcdError(f"etcd's client certificate {certificate} cannot be used: {error}") from None
    others = {name: url for name, url in members.items() if name != site.name}
    return Gateway(context, site.local or next(iter(others.values()), ""), others)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CertificateError(f"{path} cannot be read: {error}") from error


def _prepare(path: str, content: str, mode: int, file: LeafFile) -> Path:
    """Write a file beside the one it will replace, with its owner and mode."""
    descriptor, name = tempfile.mkstemp(dir=str(Path(path).parent), prefix=".caravan-")
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    shutil.chown(name, file.owner, file.group)
    Path(name).chmod(mode)
    return Path(name)
