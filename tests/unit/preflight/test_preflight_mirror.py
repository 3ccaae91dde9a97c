# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An artifact mirror that is not there, not trusted, not filled; with a real TLS server."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._preflight import mirror, problem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ["kubelet", "kube-apiserver", "etcd", "containerd", "flannel", "flannel-cni-plugin"]
INDEX = {
    "files": [{"name": "kubelet", "version": "1.36.3"}, {"name": "etcd", "version": "3.6.8"}],
    "images": [{"name": "kube-apiserver", "version": "1.36.3"}, {"name": "flannel", "version": "0.28.4"}],
}


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for the name, which is its own CA: paths of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("mirror")
    crt, key = certificate(directory, "mirror.invalid")
    other, _key = certificate(directory, "other.invalid")
    (directory / "index.json").write_text(json.dumps(INDEX))
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    port = listening.server_address[1]
    yield {
        "other_ca": str(other),
        "settings": {
            "artifacts_source": "mirror",
            "artifacts_mirror_url": f"https://mirror.invalid:{port}",
            "artifacts_registry": f"mirror.invalid:{port}",
            "artifacts_mirror_ca": str(crt),
            "artifacts_mirror_index": str(directory / "index.json"),
            "preflight_mirror_timeout": 2,
            "cluster_kubernetes_version": "1.36.3",
            "etcd_version": "3.6.8",
        },
    }
    listening.shutdown()


def report(settings: dict[str, Any], addresses: tuple[str, ...] = ("127.0.0.1",)) -> list[str]:
    return problem.lines(mirror.check(settings, list(addresses), NAMES))


def test_a_good_mirror_has_no_problem(server: dict[str, Any]) -> None:
    assert report(server["settings"]) == []


def test_without_a_mirror_nothing_is_looked_at() -> None:
    assert report({"artifacts_source": "upstream", "artifacts_mirror_url": "http://x"}) == []


def test_a_mirror_with_another_certificate_is_refused(server: dict[str, Any]) -> None:
    lines = report({**server["settings"], "artifacts_mirror_ca": server["other_ca"]})
    assert len(lines) == 2
    assert lines[0].startswith(
        f"mirror: {server['settings']['artifacts_mirror_url']} does not answer (its certificate is ref"
    )
    assert lines[0].endswith(
        "wanted a mirror that answers over TLS; change artifacts_mirror_url or artifacts_mirror_ca"
    )


def test_a_certificate_for_another_name_is_refused(server: dict[str, Any]) -> None:
    url = server["settings"]["artifacts_mirror_url"].replace("mirror.invalid", "files.invalid")
    (line,) = report({**server["settings"], "artifacts_mirror_url": url})
    assert "files.invalid" in line and "certificate is refused" in line


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"artifacts_mirror_url": "https://127.0.0.1:1"},
            "mirror: https://127.0.0.1:1 does not answer ([Errno 111] Connection refused); wanted a mirror that "
            "answers over "
            "TLS; change artifacts_mirror_url or artifacts_mirror_ca",
        ),
        (
            {"artifacts_mirror_url": "http://mirror.invalid"},
            "mirror: artifacts_mirror_url is 'http://mirror.invalid'; wanted an https address: artifacts travel over "
            "TLS only; "
            "change artifacts_mirror_url",
        ),
        (
            {"artifacts_mirror_url": ""},
            "mirror: artifacts_mirror_url is not set; wanted its address, as artifacts_source is mirror; change "
            "artifacts_mirror_url",
        ),
        (
            {"artifacts_mirror_ca": "/nowhere/ca.crt"},
            "mirror: the file /nowhere/ca.crt does not exist; wanted the certificate of the mirror's CA; change "
            "artifacts_mirror_ca",
        ),
        (
            {"artifacts_mirror_index": "/nowhere/index.json"},
            "mirror: the mirror's index /nowhere/index.json cannot be read (FileNotFoundError); wanted that of a "
            "mirror filled "
            "by playbooks/mirror.yml; change artifacts_mirror_index",
        ),
        (
            {"etcd_version": "3.7.3"},
            "mirror: the mirror has no etcd 3.7.3; playbooks/mirror.yml fills it; wanted one of 3.6.8; change "
            "etcd_version",
        ),
        (
            {"container_runtime_containerd_version": "2.4.2"},
            "mirror: the mirror has no containerd 2.4.2; playbooks/mirror.yml fills it; wanted it there; change "
            "container_runtime_containerd_version",
        ),
        (
            {"network_flannel_cni_plugin_version": "1.9.1"},
            "mirror: the mirror has no flannel-cni-plugin 1.9.1; playbooks/mirror.yml fills it; wanted it there; "
            "change "
            "network_flannel_cni_plugin_version",
        ),
    ],
)
def test_an_unfit_mirror_is_named(server: dict[str, Any], changes: dict[str, str], expected: str) -> None:
    assert report({**server["settings"], **changes}) == [expected]


def test_a_version_that_is_not_held_names_every_artifact(server: dict[str, Any]) -> None:
    lines = report({**server["settings"], "cluster_kubernetes_version": "1.35.4"})
    assert [line.split(";")[0] for line in lines] == [
        "mirror: the mirror has no kubelet 1.35.4",
        "mirror: the mirror has no kube-apiserver 1.35.4",
    ]


def test_flannel_is_not_asked_of_a_cluster_with_another_network(server: dict[str, Any]) -> None:
    settings = {**server["settings"], "network_provider": "calico", "network_flannel_version": "9.9.9"}
    assert report(settings) == []


def test_an_unknown_name_is_reported_where_no_address_is_known(server: dict[str, Any]) -> None:
    lines = report(server["settings"], addresses=())
    assert len(lines) == 2 and "mirror.invalid" in lines[0]
