# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity bundle in a drill: is there one, is it whole, is it the one of its time, do its halves fit."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Mapping, Sequence

from . import commands
from .errors import BackupError, CommandError
from .identity import Bundle
from .manifest import IdentityManifest, SnapshotManifest
from .names import IdentityName, SnapshotName, parse_identity

_PKI = "/etc/kubernetes/pki"
_ETCD_PKI = "/etc/etcd/pki"
KUBERNETES_CA = f"{_PKI}/ca.crt"
FRONT_PROXY_CA = f"{_PKI}/front-proxy-ca.crt"
SERVICE_ACCOUNT_KEY = f"{_PKI}/sa.key"
ENCRYPTION = "/etc/kubernetes/encryption.yml"
# What a cluster cannot be made again without, by part.
FILES: dict[str, tuple[str, ...]] = {
    "control_plane": (
        KUBERNETES_CA,
        f"{_PKI}/ca.key",
        FRONT_PROXY_CA,
        f"{_PKI}/front-proxy-ca.key",
        f"{_PKI}/sa.pub",
        SERVICE_ACCOUNT_KEY,
        f"{_PKI}/etcd-ca.crt",
        ENCRYPTION,
    ),
    "etcd": (f"{_ETCD_PKI}/ca.crt", f"{_ETCD_PKI}/ca.key"),
}
# (public half, private half)
PAIRS = (
    (KUBERNETES_CA, f"{_PKI}/ca.key"),
    (FRONT_PROXY_CA, f"{_PKI}/front-proxy-ca.key"),
    (f"{_ETCD_PKI}/ca.crt", f"{_ETCD_PKI}/ca.key"),
    (f"{_PKI}/etcd-ca.crt", f"{_ETCD_PKI}/ca.key"),
    (f"{_PKI}/sa.pub", SERVICE_ACCOUNT_KEY),
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def wanted_names(
    manifest: SnapshotManifest, snapshot: SnapshotName, stored: Sequence[IdentityName]
) -> dict[str, IdentityName]:
    """Return the bundle of each part that belongs to a snapshot. BackupError when one is missing, or not the newest.

    `stored`: what the store lists. A part that was stored after the snapshot does not belong to it. Pure.
    """
    names = {}
    for part in FILES:
        key = manifest.identity.get(part, "")
        name = parse_identity(key)
        if name is None or name.part != part:
            raise BackupError(f"no identity bundle of the part {part} was stored when the snapshot was taken")
        if name not in stored:
            raise BackupError(f"the identity bundle {key} is missing in the store")
        newer = [other for other in stored if other.part == part and name.time < other.time <= snapshot.time]
        if newer:
            raise BackupError(f"the identity bundle {key} is outdated: {max(newer).key} was stored before the snapshot")
        names[part] = name
    return names


def check_object(manifest: IdentityManifest, name: IdentityName, sealed: bytes) -> None:
    """BackupError unless the stored object is the one its manifest describes. Pure."""
    if not manifest.digest.startswith(name.digest) or manifest.part != name.part or manifest.cluster != name.cluster:
        raise BackupError(f"the manifest of the identity bundle {name.key} is another one's")
    if len(sealed) != manifest.bytes or hashlib.sha256(sealed).hexdigest() != manifest.sha256:
        raise BackupError(
            f"the identity bundle {name.key} is not what was uploaded: {len(sealed)} bytes, wanted {manifest.bytes}, or"
            " another checksum"
        )


def check_digest(manifest: IdentityManifest, digest: str) -> None:
    """BackupError unless the contents are those that were sealed. Pure."""
    if digest != manifest.digest:
        raise BackupError(f"the contents of the identity bundle {manifest.key} are not those that were sealed")


def check_whole(bundles: Mapping[str, Bundle], cluster: str, public: Callable[[bytes], str]) -> None:
    """BackupError unless all files are there, of this cluster, and keys fit their public halves.

    `public` returns the public key, as PEM, of a private key, a certificate or a public key.
    """
    files: dict[str, bytes] = {}
    for part, bundle in bundles.items():
        if bundle.settings.get("cluster") != cluster or bundle.settings.get("part") != part:
            seen = f"{bundle.settings.get('part')} of the cluster {bundle.settings.get('cluster')}"
            raise BackupError(f"the identity bundle is the part {seen}, wanted {part} of {cluster}")
        missing = [path for path in FILES[part] if not bundle.files.get(path, b"").strip()]
        if missing:
            raise BackupError(f"the identity bundle ({part}) lacks {', '.join(missing)}")
        files.update(bundle.files)
    for path, key in PAIRS:
        try:
            private = public(files[key])
            halves = {public(half) for half in _halves(files[path])}
        except BackupError as error:
            raise BackupError(f"the identity bundle has a {path} or {key} that cannot be read") from error
        # An authority that is being replaced has two certificates; the key is that of one.
        if private not in halves:
            raise BackupError(f"the identity bundle's {key} is not the key of its {path}")


def public_half(pem: bytes) -> str:
    """Return the public key of what a PEM text has, by openssl. BackupError when there is none."""
    if b"BEGIN CERTIFICATE" in pem:
        arguments = ["openssl", "x509", "-noout", "-pubkey"]
    elif b"BEGIN PUBLIC KEY" in pem:
        arguments = ["openssl", "pkey", "-pubin", "-pubout"]
    else:
        arguments = ["openssl", "pkey", "-pubout"]
    try:
        return commands.run(arguments, 20, data=pem).decode().strip()
    except CommandError as error:
        raise BackupError(f"not readable: {error}") from error


def certificates(pem: str) -> frozenset[bytes]:
    """Return the certificates of a PEM text as DER. BackupError when one is damaged."""
    try:
        return frozenset(ssl.PEM_cert_to_DER_cert(found) for found in _CERTIFICATE.findall(pem))
    except ValueError as error:
        raise BackupError(f"a certificate is damaged: {error}") from error


def _halves(public: bytes) -> list[bytes]:
    """The certificates of a file one by one; a public key as it is."""
    return [found.encode() for found in _CERTIFICATE.findall(public.decode(errors="replace"))] or [public]
