# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's own certificate authority and certificate, as the mirror has them.

Wants the library cryptography, on the controller only.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from typing import Any

from .errors import ArtifactError

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
#: A server certificate is renewed when less than this is left.
RENEW_DAYS = 60
ALLOWANCE = datetime.timedelta(minutes=5)


def _library() -> tuple[Any, Any, Any, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise ArtifactError("certificates want the Python package cryptography on the controller") from error
    return x509, hashes, serialization, ec


def problems(ca_pem: bytes, certificate_pem: bytes, names: Sequence[str], now: datetime.datetime) -> list[str]:
    """Why a server certificate has to be made anew: one sentence each, none if it is good."""
    x509, _hashes, _serialization, _ec = _library()
    if not ca_pem or not certificate_pem:
        return ["it does not exist"]
    authority, certificate = x509.load_pem_x509_certificate(ca_pem), x509.load_pem_x509_certificate(certificate_pem)
    found = []
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:
        found.append("it was not issued by the authority beside it")
    if certificate.not_valid_after_utc < now + datetime.timedelta(days=RENEW_DAYS):
        found.append(f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}")
    lacking = sorted(set(names) - subject_names(certificate))
    if lacking:
        found.append(f"it does not name {', '.join(lacking)}")
    return found


def subject_names(certificate: Any) -> set[str]:
    """The DNS names and addresses of a certificate."""
    x509, _hashes, _serialization, _ec = _library()
    try:
        value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in value}


def new_key() -> tuple[Any, bytes]:
    _x509, _hashes, serialization, ec = _library()
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, pem


def load_key(pem: bytes) -> Any:
    return _library()[2].load_pem_private_key(pem, password=None)


def authority(key: Any, name: str, now: datetime.datetime) -> bytes:
    """A certificate authority that may issue server certificates only below itself."""
    x509, hashes, serialization, _ec = _library()
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - ALLOWANCE)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(x509, certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return bytes(certificate.public_bytes(serialization.Encoding.PEM))


def server(ca_pem: bytes, ca_key: Any, key: Any, names: Sequence[str], now: datetime.datetime) -> bytes:
    """A server certificate for these DNS names and addresses."""
    x509, hashes, serialization, _ec = _library()
    issuer = x509.load_pem_x509_certificate(ca_pem)
    alternatives = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - ALLOWANCE)
        .not_valid_after(min(now + datetime.timedelta(days=SERVER_DAYS), issuer.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(x509, certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _usage(x509: Any, certificates: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
