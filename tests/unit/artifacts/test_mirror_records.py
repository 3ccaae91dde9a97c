# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror's certificates and its bill of materials."""

from __future__ import annotations

import datetime
import json
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import sbom, tls

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
NAMES = ["mirror.example.org", "192.0.2.10"]


def issued() -> tuple[bytes, bytes]:
    authority_key, _pem = tls.new_key()
    authority = tls.authority(authority_key, "a mirror", NOW)
    key, _pem = tls.new_key()
    return authority, tls.server(authority, authority_key, key, NAMES, NOW)


def test_a_server_certificate_is_good_for_its_names() -> None:
    authority, server = issued()
    assert tls.problems(authority, server, NAMES, NOW) == []
    assert tls.problems(authority, server, [*NAMES, "other"], NOW) == ["it does not name other"]


def test_a_server_certificate_is_renewed_before_it_ends() -> None:
    authority, server = issued()
    later = NOW + datetime.timedelta(days=tls.SERVER_DAYS - tls.RENEW_DAYS + 1)
    assert tls.problems(authority, server, NAMES, later) == ["it ends on 2031-02-02"]


def test_a_certificate_of_another_authority_is_not_good() -> None:
    authority, _server = issued()
    _authority, server = issued()
    assert tls.problems(authority, server, NAMES, NOW) == ["it was not issued by the authority beside it"]
    assert tls.problems(authority, b"", NAMES, NOW) == ["it does not exist"]


STATE: dict[str, Any] = {
    "component": "tool",
    "version": "1.2.3",
    "architecture": "amd64",
    "method": "build",
    "source": "example.org/tool@v1.2.3",
    "licence": "MIT",
    "compiler": "go1.26",
    "files": [{"path": "example.org/tool", "version": "1.2.3", "sha256": "a" * 64}],
    "images": [{"repository": "example.org/tool", "reference": "example.org/tool:1", "digest": "sha256:" + "b" * 64}],
    "modules": [{"path": "example.org/lib/v2", "version": "v2.0.0", "sum": "h1:x="}],
    "packages": [{"package": "libc6", "version": "2.36", "architecture": "amd64"}],
}


def test_the_bill_names_everything_once() -> None:
    bill = json.loads(sbom.compose([STATE, {**STATE, "version": "1.2.4", "files": [], "images": []}]))
    assert bill["bomFormat"] == "CycloneDX"
    names = [component["name"] for component in bill["components"]]
    assert names.count("example.org/lib/v2") == 1 and names.count("libc6") == 1 and names.count("tool") == 2
    purls = {component.get("purl") for component in bill["components"]}
    assert {"pkg:golang/example.org/lib/v2@v2.0.0", "pkg:deb/debian/libc6@2.36?arch=amd64"} <= purls
    depends = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    assert depends["file:example.org/tool"] == ["tool@1.2.3-amd64"]
    assert len(depends["tool@1.2.3-amd64"]) == 2


def test_the_bill_is_named_after_its_content() -> None:
    assert sbom.serial_number([STATE]) in sbom.compose([STATE])
    assert sbom.serial_number([STATE]) != sbom.serial_number([{**STATE, "version": "2"}])
