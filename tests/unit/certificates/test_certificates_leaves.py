# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's certificates on a host: found, issued anew, put in the place of the old ones."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._certificates import leaves
from ansible_collections.caravan.cluster.plugins.module_utils._certificates.errors import CertificateError
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from ansible_collections.caravan.cluster.plugins.module_utils._identity.catalogue import LEAVES, LeafFile
from ansible_collections.caravan.cluster.plugins.module_utils._identity.leaf import wanted_of
from cryptography import x509

NOW = datetime.now(timezone.utc)
SITE = leaves.Site("cp1", "10.0.0.11", ("etcd.example.org",))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LeafFile:
    """etcd's server certificate with a tenth of its life left, on a host that holds the authority."""
    authority_key = crypto.generate_key("ecdsa-p256")
    authority = crypto.authority_certificate(authority_key, "etcd-ca", 3650, NOW)
    (tmp_path / "ca.crt").write_text(authority)
    (tmp_path / "ca.key").write_text(authority_key)
    monkeypatch.setattr(leaves, "AUTHORITIES", {"etcd": str(tmp_path / "ca.crt")})
    monkeypatch.setattr(leaves, "AUTHORITY_KEY", str(tmp_path / "ca.key"))
    own = replace(
        LEAVES[0],
        certificate=str(tmp_path / "server.crt"),
        key=str(tmp_path / "server.key"),
        owner=pwd.getpwuid(os.getuid()).pw_name,
        group=grp.getgrgid(os.getgid()).gr_name,
    )
    monkeypatch.setattr(leaves, "leaves_of", lambda parts: [own])
    wanted = wanted_of(own, SITE.name, SITE.address, SITE.extra_names)
    key, certificate = crypto.issue(wanted, authority, authority_key, "ecdsa-p256", 100, NOW - timedelta(days=90))
    Path(own.key).write_text(key)
    Path(own.key).chmod(0o600)
    Path(own.certificate).write_text(certificate)
    return own


def test_its_age_is_a_reason(file: LeafFile) -> None:
    (leaf,) = leaves.on_host(["etcd"], SITE, NOW)
    assert (leaf.aged, leaf.wrong) == ("10% of its life is left", "")


def test_what_else_is_wrong_with_it_is_none(file: LeafFile) -> None:
    (leaf,) = leaves.on_host(["etcd"], replace(SITE, extra_names=()), NOW - timedelta(days=80))
    assert (leaf.aged, leaf.wrong) == ("", "its names or addresses differ")
    Path(file.certificate).unlink()
    (leaf,) = leaves.on_host(["etcd"], SITE, NOW)
    assert (leaf.held, leaf.aged, leaf.wrong) == (None, "", "missing")


def test_a_renewed_one_is_in_order(file: LeafFile) -> None:
    (leaf,) = leaves.on_host(["etcd"], SITE, NOW)
    before = Path(file.certificate).read_text()
    leaves.renew(leaf, SITE, NOW)
    (leaf,) = leaves.on_host(["etcd"], SITE, NOW)
    assert (leaf.aged, leaf.wrong) == ("", "")
    assert Path(file.certificate).read_text() != before
    parsed = x509.load_pem_x509_certificate(Path(file.certificate).read_bytes())
    assert parsed.not_valid_after_utc > NOW + timedelta(days=364)
    modes = {path.name: path.stat().st_mode & 0o777 for path in Path(file.key).parent.iterdir()}
    assert (modes["server.key"], modes["server.crt"]) == (0o600, 0o644)
    assert not [name for name in modes if name.startswith(".")]


def test_nothing_is_signed_with_the_key_of_another_authority(file: LeafFile) -> None:
    (leaf,) = leaves.on_host(["etcd"], SITE, NOW)
    before = Path(file.certificate).read_text()
    Path(leaves.AUTHORITY_KEY).write_text(crypto.generate_key("ecdsa-p256"))
    with pytest.raises(CertificateError, match="is not the key of"):
        leaves.renew(leaf, SITE, NOW)
    assert Path(file.certificate).read_text() == before


@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "rsa-2048"])
def test_authorities_are_checked_by_old_libraries_too(algorithm: str) -> None:
    key = crypto.generate_key(algorithm)
    authority = crypto.authority_certificate(key, "etcd-ca", 3650, NOW)
    other = crypto.authority_certificate(crypto.generate_key(algorithm), "etcd-ca", 3650, NOW)
    wanted = wanted_of(LEAVES[2], "cp1", "10.0.0.11")
    _key, leaf = crypto.issue(wanted, authority, key, "ecdsa-p256", 1, NOW)
    parsed, good, bad = (x509.load_pem_x509_certificate(text.encode()) for text in (leaf, authority, other))
    crypto._verify(parsed, good)
    with pytest.raises(Exception, match=r"^$"):
        crypto._verify(parsed, bad)
