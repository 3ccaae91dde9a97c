# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security defaults, asked of what runs: not of the files that should bring it about."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
from collections.abc import Iterator

import pytest
from cluster_tests.api import Api, ApiError
from cluster_tests.cluster import Cluster
from cluster_tests.pods import Pods
from cluster_tests.waiting import wait_until

CANARY = "canary-7c3f0c1be2"
SECRETS = "/api/v1/namespaces/default/secrets"


@pytest.fixture(scope="module")
def canary(api: Api) -> Iterator[str]:
    """A Secret whose content is looked for where it must not be."""
    api.delete(f"{SECRETS}/canary")
    api.create(SECRETS, {"metadata": {"name": "canary"}, "stringData": {"value": CANARY}})
    yield "canary"
    api.delete(f"{SECRETS}/canary")


class TestAnonymous:
    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
    def test_may_ask_for_health(self, cluster: Cluster, path: str) -> None:
        assert cluster.api(anonymous=True).request("GET", path).status == 200

    @pytest.mark.parametrize("path", ["/version", "/api", "/metrics", "/openapi/v2", "/livez/ping", "/api/v1/nodes"])
    def test_may_ask_nothing_else(self, cluster: Cluster, path: str) -> None:
        assert cluster.api(anonymous=True).request("GET", path).status in (401, 403)

    def test_kubelet_answers_nobody(self, cluster: Cluster, kubernetes_node: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        assert _status(cluster.address(kubernetes_node), 10250, context, "/pods") == 401

    def test_kubelet_shows_a_certificate_of_the_cluster_s_ca(self, cluster: Cluster, kubernetes_node: str) -> None:
        context = ssl.create_default_context(cadata=cluster.kubeconfig().ca.decode())
        address = cluster.address(kubernetes_node)
        with (
            socket.create_connection((address, 10250), 5) as raw,
            context.wrap_socket(raw, server_hostname=address) as tls,
        ):
            names = tls.getpeercert()["subjectAltName"]  # type: ignore[index]
        assert ("DNS", kubernetes_node) in names


def _status(address: str, port: int, context: ssl.SSLContext, path: str) -> int:
    with socket.create_connection((address, port), 5) as raw, context.wrap_socket(raw, server_hostname=address) as tls:
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        return int(tls.recv(4096).split()[1])


class TestTls:
    # Runs on an etcd host, because only there is a certificate with which etcd lets a handshake end.
    SCRIPT = """
import socket, ssl, warnings
warnings.simplefilter("ignore")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_ciphers(ARGUMENT["ciphers"] + ":@SECLEVEL=0")
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, ARGUMENT["version"])
if ARGUMENT["port"] in (2379, 2380):
    context.load_cert_chain("/etc/etcd/pki/client.crt", "/etc/etcd/pki/client.key")
with socket.create_connection((ARGUMENT["address"], ARGUMENT["port"]), 5) as raw:
    try:
        with context.wrap_socket(raw) as tls:
            print(json.dumps(tls.cipher()[0]))
    except ssl.SSLError as error:
        print(json.dumps(error.reason))
"""
    PORTS = pytest.mark.parametrize("port", [6443, 10250, 2379, 2380])

    def _shake(self, cluster: Cluster, port: int, version: str, ciphers: str) -> str:
        """Return how a handshake ends: the cipher, or the alert with which the server refused."""
        host = cluster.any_host
        argument = {"address": cluster.address(host), "port": port, "version": version, "ciphers": ciphers}
        return str(cluster.nodes.python(host, self.SCRIPT, argument))

    @PORTS
    def test_1_1_is_refused_by_the_server(self, cluster: Cluster, port: int) -> None:
        assert self._shake(cluster, port, "TLSv1_1", "ALL") == "TLSV1_ALERT_PROTOCOL_VERSION"

    @PORTS
    def test_1_2_takes_aead_ciphers_only(self, cluster: Cluster, port: int) -> None:
        old = "AES128-SHA:AES256-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256"
        assert self._shake(cluster, port, "TLSv1_2", old) == "SSLV3_ALERT_HANDSHAKE_FAILURE"
        assert "GCM" in self._shake(cluster, port, "TLSv1_2", "ECDHE+AESGCM")


@pytest.fixture(scope="module")
def pods(cluster: Cluster, api: Api) -> Iterator[Pods]:
    pods = Pods(api, cluster.work_directory / "kubeconfig", "caravan-admission")
    pods.prepare()
    yield pods
    pods.remove()


class TestAdmission:
    @pytest.mark.parametrize(
        ("what", "change"),
        [
            ("privileged", {"containers": [{"securityContext": {"privileged": True}}]}),
            ("host namespaces", {"hostNetwork": True}),
            ("hostPath volumes", {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}),
        ],
    )
    def test_baseline_is_enforced(self, api: Api, pods: Pods, what: str, change: dict[str, object]) -> None:
        body = pods.body("bad", "nowhere", {})
        containers = change.pop("containers", None)
        body["spec"] |= change
        if containers:
            body["spec"]["containers"][0] |= containers[0]  # type: ignore[index]
        with pytest.raises(ApiError, match=f"403.*violates PodSecurity .*baseline.*{what}"):
            api.create(f"{pods.path}/pods?dryRun=All", body)

    def test_restricted_is_warned_of(self, api: Api, pods: Pods) -> None:
        body = pods.body("loose", "nowhere", {})
        del body["spec"]["containers"][0]["securityContext"]
        answer = api.request("POST", f"{pods.path}/pods?dryRun=All", body)
        assert answer.status == 201
        assert "would violate PodSecurity" in answer.warning

    def test_seccomp_is_on_without_asking(self, cluster: Cluster, api: Api, pods: Pods) -> None:
        body = pods.body("plain", cluster.inventory.hosts("worker")[0], {})
        del body["spec"]["securityContext"]["seccompProfile"]
        api.create(f"{pods.path}/pods", body)
        pods.wait_ready(["plain"])
        # 2: a filter is in force (proc(5)).
        assert re.search(r"^Seccomp:\s+2$", pods.execute("plain", "cat", "/proc/self/status"), re.MULTILINE)


class TestSecretsAtRest:
    def test_etcd_holds_no_secret_in_the_clear(self, cluster: Cluster, etcd_node: str, canary: str) -> None:
        stored = cluster.etcdctl(etcd_node, "get", f"/registry/secrets/default/{canary}")
        assert "k8s:enc:secretbox:v1:" in stored
        assert CANARY not in stored

    def test_nor_do_its_files(self, cluster: Cluster, etcd_node: str, canary: str) -> None:
        found = cluster.nodes.run(etcd_node, ["grep", "-rlaF", CANARY, "/var/lib/etcd"], check=False)
        assert found.code == 1, found.text

    def test_every_secret_is_encrypted(self, cluster: Cluster, etcd_node: str, canary: str) -> None:
        stored = cluster.etcdctl(etcd_node, "get", "--prefix", "/registry/secrets/", "--write-out=json")
        entries = json.loads(stored)["kvs"]
        assert entries
        assert all(base64.b64decode(entry["value"]).startswith(b"k8s:enc:secretbox:v1:") for entry in entries)

    def test_it_can_be_read_through_the_api(self, api: Api, canary: str) -> None:
        assert base64.b64decode(api.get(f"{SECRETS}/{canary}")["data"]["value"]).decode() == CANARY


class TestAudit:
    LOG = "/var/log/kubernetes/audit/audit.log"

    def test_the_log_tells_who_read_a_secret_but_not_what(
        self, cluster: Cluster, api: Api, control_plane_node: str, canary: str
    ) -> None:
        api.get(f"{SECRETS}/{canary}")

        def look() -> tuple[bool, str]:
            log = cluster.nodes.run(control_plane_node, ["tail", "-n", "2000", self.LOG]).stdout
            events = [json.loads(line) for line in log.splitlines()]
            mine = [
                event for event in events if event.get("objectRef", {}).get("name") == canary and event["verb"] == "get"
            ]
            return bool(mine) and all("responseObject" not in event for event in mine), f"{len(events)} events"

        wait_until("the read of a secret in the audit log", look, 60)

    def test_no_secret_is_in_the_log(self, cluster: Cluster, control_plane_node: str, canary: str) -> None:
        found = cluster.nodes.run(control_plane_node, ["grep", "-rlF", CANARY, "/var/log/kubernetes"], check=False)
        assert found.code == 1, found.text

    def test_only_root_reads_it(self, cluster: Cluster, control_plane_node: str) -> None:
        log = cluster.nodes.host(control_plane_node).file(self.LOG)
        assert (log.user, log.mode) == ("root", 0o600)


class TestProfiling:
    def test_api_server(self, api: Api) -> None:
        assert api.request("GET", "/debug/pprof/").status == 404

    @pytest.mark.parametrize("port", [10257, 10259])
    def test_controller_manager_and_scheduler(self, cluster: Cluster, control_plane_node: str, port: int) -> None:
        script = f"""
import os, ssl, tempfile, base64, re, urllib.request, urllib.error
text = open("/etc/kubernetes/admin.conf").read()
context = ssl._create_unverified_context()
with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
    for field in ("client-certificate-data", "client-key-data"):
        file.write(base64.b64decode(re.search(field + r": (\\S+)", text).group(1)) + b"\\n")
    file.flush()
    context.load_cert_chain(file.name)
def status(path):
    try:
        return urllib.request.urlopen("https://127.0.0.1:{port}" + path, context=context, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps([status("/healthz"), status("/debug/pprof/")]))
"""
        assert cluster.nodes.python(control_plane_node, script) == [200, 404]


class TestFiles:
    SCRIPT = """
import os
loose = []
for top in ("/etc/kubernetes", "/etc/etcd", "/var/lib/kubelet/pki", "/etc/caravan"):
    for directory, names, files in os.walk(top):
        for name in files:
            path = os.path.join(directory, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as file:
                content = file.read()
            private = b"PRIVATE KEY" in content or b"client-key-data" in content or b"secretbox" in content
            found = os.stat(path)
            if private and found.st_mode & 0o177:
                loose.append("%s %o" % (path, found.st_mode & 0o7777))
print(json.dumps(loose))
"""

    def test_private_keys_are_for_their_owner_only(self, cluster: Cluster, node: str) -> None:
        assert cluster.nodes.python(node, self.SCRIPT) == []

    def test_etcd_s_data_is_for_etcd_only(self, cluster: Cluster, etcd_node: str) -> None:
        data = cluster.nodes.host(etcd_node).file("/var/lib/etcd")
        assert (data.user, data.mode) == ("etcd", 0o700)

    def test_the_all_powerful_identity_is_gone(self, cluster: Cluster, control_plane_node: str) -> None:
        assert not cluster.nodes.host(control_plane_node).file("/etc/kubernetes/super-admin.conf").exists

    def test_the_controller_s_kubeconfig_is_private(self, cluster: Cluster) -> None:
        path = cluster.work_directory / "kubeconfig"
        assert path.stat().st_mode & 0o777 == 0o600

    def test_no_bootstrap_token_is_left(self, api: Api) -> None:
        secrets = api.get("/api/v1/namespaces/kube-system/secrets", fieldSelector="type=bootstrap.kubernetes.io/token")
        assert [secret["metadata"]["name"] for secret in secrets["items"]] == []
