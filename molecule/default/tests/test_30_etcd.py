# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd talks to nobody it does not know, and tells strangers nothing."""

from __future__ import annotations

import socket
import ssl

import pytest
from cluster_tests.cluster import Cluster

pytestmark = pytest.mark.journal("etcd")

SERVICE = ["systemctl", "show", "etcd.service", "--property=User,Group,UnitFileState,ActiveState"]


def test_service(cluster: Cluster, etcd_node: str) -> None:
    shown = dict(line.split("=", 1) for line in cluster.nodes.run(etcd_node, SERVICE).stdout.splitlines())
    assert shown == {"User": "etcd", "Group": "etcd", "UnitFileState": "enabled", "ActiveState": "active"}


@pytest.mark.parametrize("port", [2379, 2380])
def test_without_a_certificate_nobody_gets_in(cluster: Cluster, etcd_node: str, port: int) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        _ask(cluster.address(etcd_node), port, context)


@pytest.mark.parametrize("port", [2379, 2380])
def test_a_certificate_of_kubernetes_s_ca_is_none_of_etcd_s(cluster: Cluster, etcd_node: str, port: int) -> None:
    context = cluster.kubeconfig().context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match=r"BAD_CERTIFICATE|UNKNOWN_CA"):
        _ask(cluster.address(etcd_node), port, context)


def _ask(address: str, port: int, context: ssl.SSLContext) -> bytes:
    # TLS 1.3 tells the client of a refused certificate only once it reads.
    with socket.create_connection((address, port), 5) as raw, context.wrap_socket(raw, server_hostname=address) as tls:
        tls.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return tls.recv(100)


def test_metrics_are_for_the_host_itself(cluster: Cluster, etcd_node: str) -> None:
    host = cluster.nodes.host(etcd_node)
    assert host.socket("tcp://127.0.0.1:2381").is_listening
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection((cluster.address(etcd_node), 2381), 2).close()


def test_it_compacts_by_itself_and_has_a_quota(cluster: Cluster, etcd_node: str) -> None:
    script = "import urllib.request; print(json.dumps(urllib.request.urlopen(ARGUMENT, timeout=5).read().decode()))"
    metrics = cluster.nodes.python(etcd_node, script, "http://127.0.0.1:2381/metrics")
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line and not line.startswith("#"))
    assert float(values["etcd_server_quota_backend_bytes"]) >= 2 << 30
    assert float(values["etcd_server_has_leader"]) == 1
