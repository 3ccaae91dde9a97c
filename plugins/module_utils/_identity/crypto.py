# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates, made and read in memory with the library cryptography.

For the controller; what is about a host's own certificates (`issue`, `read_leaf`) also for hosts, which may have a
version of the library as old as 3.4, and no YAML.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False
with contextlib.suppress(ImportError):
    import yaml

from .leaf import LeafHeld, LeafWanted

ALGORITHMS = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096")
# Clocks differ a little: a certificate is valid from a moment before it was made.
BACKDATE = timedelta(minutes=5)


def generate_key(algorithm: str) -> str:
    """A new private key as PEM, in the form that every version of kubeadm and etcd reads."""
    kind, _, size = algorithm.partition("-")
    key: Any
    if kind == "ecdsa":
        key = ec.generate_private_key(ec.SECP384R1() if size == "p384" else ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(size))
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def public_key(key: str) -> str:
    return _spki(_load_key(key).public_key()).decode()


def authority_certificate(key: str, common_name: str, days: int, now: datetime) -> str:
    """A self-signed certificate for the key of an authority."""
    private = _load_key(key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(name, name, private.public_key(), now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        # kubeadm gives its own authorities a DNS name; some clients warn about a certificate without one.
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    )
    return _pem(builder.sign(private, _digest(private)))


def is_pair(certificate: str, key: str) -> bool:
    return _spki(_load_certificate(certificate).public_key()) == _spki(_load_key(key).public_key())


def is_public_key_of(public: str, key: str) -> bool:
    return _spki(serialization.load_pem_public_key(public.encode())) == _spki(_load_key(key).public_key())


def not_after(certificate: str) -> datetime:
    return lifetime(certificate)[1]


def lifetime(certificate: str) -> tuple[datetime, datetime]:
    """Begin and end of a certificate's life."""
    return _validity(_load_certificate(certificate))


def issue(
    wanted: LeafWanted, authority: str, authority_key: str, algorithm: str, days: float, now: datetime
) -> tuple[str, str]:
    """A new key and its certificate, (key, certificate) as PEM. It never outlives its authority."""
    key = generate_key(algorithm)
    private = _load_key(key)
    signer = _load_key(authority_key)
    issuer = _load_certificate(authority)
    end = min(now + timedelta(days=days), _validity(issuer)[1])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name)])
    builder = (
        _builder(name, issuer.subject, private.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_USAGES[usage]() for usage in sorted(wanted.usages)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(entry) for entry in sorted(wanted.names)]
    alternatives += [x509.IPAddress(ipaddress.ip_address(entry)) for entry in sorted(wanted.addresses)]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return key, _pem(builder.sign(signer, _digest(signer)))


def read_leaf(certificate: str, authority: str, fits_key: bool, key_is_private: bool) -> LeafHeld | None:
    """The facts of a certificate; None when it is not one."""
    try:
        parsed = _load_certificate(certificate)
    except ValueError:
        return None
    common_names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    usages: set[str] = set()
    for extension in parsed.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = frozenset(extension.value.get_values_for_type(x509.DNSName))
            addresses = frozenset(str(entry) for entry in extension.value.get_values_for_type(x509.IPAddress))
        elif isinstance(extension.value, x509.ExtendedKeyUsage):
            usages = {usage for usage, oid in _USAGES.items() if oid() in extension.value}
    begin, end = _validity(parsed)
    return LeafHeld(
        common_name=str(common_names[0].value) if common_names else "",
        usages=frozenset(usages),
        names=names,
        addresses=addresses,
        not_before=begin,
        not_after=end,
        signed_by_authority=_signed_by(parsed, authority),
        fits_key=fits_key,
        key_is_private=key_is_private,
    )


def encryption_configuration(resources: Sequence[str]) -> str:
    """An API server's configuration for encryption at rest with a new key; what is stored plain stays readable."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [
                {
                    "resources": [str(name) for name in resources],
                    "providers": [{"secretbox": {"keys": [{"name": "key1", "secret": key}]}}, {"identity": {}}],
                }
            ],
        },
        sort_keys=False,
    )


def encrypted_resources(text: str) -> list[str]:
    """The resources an encryption configuration covers."""
    document = yaml.safe_load(text)
    return [str(name) for entry in document["resources"] for name in entry["resources"]]


def normalise(value: str, text: str) -> str:
    """Contents in a form in which equal ones are equal: the YAML of the encryption keys, otherwise the trimmed text."""
    if value != "encryption":
        return text.strip()
    try:
        return json.dumps(yaml.safe_load(text), sort_keys=True)
    except yaml.YAMLError:
        return text.strip()


def _server_usage() -> Any:
    return ExtendedKeyUsageOID.SERVER_AUTH


def _client_usage() -> Any:
    return ExtendedKeyUsageOID.CLIENT_AUTH


_USAGES = {"server": _server_usage, "client": _client_usage}


def _builder(subject: Any, issuer: Any, public: Any, now: datetime, end: datetime) -> Any:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(end)
    )


def _validity(certificate: Any) -> tuple[datetime, datetime]:
    """Begin and end of a certificate's life, aware, also with versions of the library that give them without a zone."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    naive = certificate.not_valid_before, certificate.not_valid_after
    return naive[0].replace(tzinfo=timezone.utc), naive[1].replace(tzinfo=timezone.utc)


def _key_usage(authority: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_by(certificate: Any, authority: str) -> bool:
    try:
        issuer = _load_certificate(authority)
        if hasattr(certificate, "verify_directly_issued_by"):
            certificate.verify_directly_issued_by(issuer)
        else:
            _verify(certificate, issuer)
    except Exception:  # cryptography raises ValueError, TypeError or InvalidSignature: all mean no
        return False
    return True


def _verify(certificate: Any, issuer: Any) -> None:
    """What newer versions of the library do themselves. Raises where it does not hold."""
    if certificate.issuer != issuer.subject:
        raise ValueError("it names another issuer")
    public, signed = issuer.public_key(), certificate.tbs_certificate_bytes
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(certificate.signature, signed, padding.PKCS1v15(), certificate.signature_hash_algorithm)
    else:
        public.verify(certificate.signature, signed, ec.ECDSA(certificate.signature_hash_algorithm))


def _digest(key: Any) -> Any:
    return hashes.SHA384() if getattr(key, "key_size", 0) == 384 else hashes.SHA256()


def _load_key(text: str) -> Any:
    return serialization.load_pem_private_key(text.encode(), None)


def _load_certificate(text: str) -> Any:
    return x509.load_pem_x509_certificate(text.encode())


def _spki(public: Any) -> bytes:
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pem(certificate: Any) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
