# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration documents, kubeconfigs, tokens, and what the API client decides without a server."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm import (
    api,
    config,
    etcd,
    kubeconfig,
    steps,
    tokens,
    users,
)
from certificates import Authority

UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def kubeconfig_text(ca: str, certificate: str, key: str, server: str = "https://api.demo.example:6443") -> str:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    return (
        "apiVersion: v1\nclusters:\n- cluster:\n"
        f"    certificate-authority-data: {encoded(ca)}\n    server: {server}\n  name: demo\n"
        "kind: Config\nusers:\n- name: kubernetes-admin\n  user:\n"
        f"    client-certificate-data: {encoded(certificate)}\n    client-key-data: {encoded(key)}\n"
    )


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def admin_conf(authority: Authority) -> str:
    certificate, key = authority.issue("kubernetes-admin", NOW + datetime.timedelta(days=365))
    return kubeconfig_text(authority.pem, certificate, key)


def join_parameters(**changes: Any) -> dict[str, Any]:
    return {
        "token": "abcdef.0123456789abcdef",
        "node_name": "worker1",
        "node_address": "10.0.0.21",
        "labels": {"zone": "b", "disk": "ssd"},
        "taints": [{"key": "gpu", "value": "", "effect": "NoSchedule"}],
        "cri_socket": "unix:///run/containerd/containerd.sock",
        "patches": None,
        "timeouts": {"discovery": "240s"},
        "control_plane": False,
        "port": 6443,
        **changes,
    }


def test_join_configuration_of_a_worker() -> None:
    document = config.join_configuration(join_parameters(), "/run/x", ["Port-6443"])
    assert document["apiVersion"] == "kubeadm.k8s.io/v1beta4"
    assert document["discovery"] == {
        "file": {"kubeConfigPath": "/run/x"},
        "tlsBootstrapToken": "abcdef.0123456789abcdef",
    }
    assert "controlPlane" not in document
    assert "patches" not in document
    registration = document["nodeRegistration"]
    assert registration["imagePullPolicy"] == "Never"
    assert registration["kubeletExtraArgs"] == [
        {"name": "node-ip", "value": "10.0.0.21"},
        {"name": "node-labels", "value": "disk=ssd,zone=b"},
    ]


def test_join_configuration_of_a_control_plane_node() -> None:
    parameters = join_parameters(control_plane=True, patches="/etc/kubernetes/caravan/patches")
    document = config.join_configuration(parameters, "/run/x", [])
    assert document["controlPlane"]["localAPIEndpoint"] == {"advertiseAddress": "10.0.0.21", "bindPort": 6443}
    assert document["patches"] == {"directory": "/etc/kubernetes/caravan/patches"}


def test_discovery_trusts_only_the_clusters_own_ca_and_does_not_ask_anonymously() -> None:
    document = config.discovery_kubeconfig("https://api:6443", "PEM", "abcdef.0123456789abcdef")
    cluster = document["clusters"][0]["cluster"]
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"PEM"
    assert document["users"][0]["user"]["token"] == "abcdef.0123456789abcdef"


def test_a_kubeconfig_is_read_without_a_yaml_library(admin_conf: str, authority: Authority) -> None:
    fields = kubeconfig.parse(admin_conf)
    assert fields["server"] == "https://api.demo.example:6443"
    assert fields["certificate-authority-data"] == authority.pem
    assert kubeconfig.usable(admin_conf)


@pytest.mark.parametrize("part", [0, 1, 2, 3, 5, 7, 9])
def test_a_kubeconfig_that_is_cut_off_is_not_usable(admin_conf: str, part: int) -> None:
    assert not kubeconfig.usable(admin_conf[: len(admin_conf) * part // 20])


def test_a_kubelets_kubeconfig_names_its_certificate_as_a_file() -> None:
    text = (
        "clusters:\n- cluster:\n    server: https://10.0.0.11:6443\nusers:\n- user:\n    client-certificate: /x.pem\n"
    )
    assert kubeconfig.usable(text)
    assert kubeconfig.parse(text)["client-certificate"] == "/x.pem"


def test_the_administrators_kubeconfig_names_the_server_that_users_reach(admin_conf: str) -> None:
    text = kubeconfig.for_users(admin_conf, "demo", "https://10.0.0.100:6443", "api.demo.example")
    fields = kubeconfig.parse(text)
    assert fields["server"] == "https://10.0.0.100:6443"
    assert fields["tls-server-name"] == "api.demo.example"
    assert fields["client-key-data"] == kubeconfig.parse(admin_conf)["client-key-data"]
    assert "tls-server-name" not in kubeconfig.for_users(admin_conf, "demo", "https://api.demo.example:6443", "")


def test_the_end_of_a_certificate_is_read_from_its_der(authority: Authority) -> None:
    for end in (NOW + datetime.timedelta(days=365), datetime.datetime(2055, 3, 1, 1, 2, 3, tzinfo=UTC)):
        assert users.not_after(authority.issue("someone", end)[0]) == end


def test_a_kubeconfig_is_written_again_only_for_a_reason(admin_conf: str, authority: Authority) -> None:
    digest = hashlib.sha256(authority.pem.encode()).hexdigest()
    month = datetime.timedelta(days=30)
    assert users.reason_to_write(admin_conf, digest, NOW, month) == ""
    assert users.reason_to_write("", digest, NOW, month) == "there is none"
    assert users.reason_to_write(admin_conf, "0" * 64, NOW, month) == "it is of another CA"
    assert users.reason_to_write(admin_conf, "", NOW, month) == ""
    assert "2027-11-21" in users.reason_to_write(admin_conf, digest, NOW + datetime.timedelta(days=340), month)
    assert "cannot be used" in users.reason_to_write(admin_conf[:200], digest, NOW, month)


def test_the_controllers_kubeconfig_follows_server_and_name(admin_conf: str, authority: Authority) -> None:
    wanted = {
        "ca_sha256": hashlib.sha256(authority.pem.encode()).hexdigest(),
        "renew_before": 720,
        "server": "https://api.demo.example:6443",
        "tls_server_name": "",
    }
    assert users.reason_to_fetch(admin_conf, wanted, NOW) == ""
    assert "server" in users.reason_to_fetch(admin_conf, {**wanted, "server": "https://10.0.0.100:6443"}, NOW)
    assert "name" in users.reason_to_fetch(admin_conf, {**wanted, "tls_server_name": "api"}, NOW)
    assert users.reason_to_fetch("", wanted, NOW) == "there is none"


def test_a_token_has_the_form_kubernetes_wants_and_ends() -> None:
    token = tokens.generate()
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token)
    assert token != tokens.generate()
    secret = tokens.secret("abcdef.0123456789abcdef", NOW, 600)
    assert secret["metadata"]["name"] == "bootstrap-token-abcdef"
    assert secret["stringData"]["expiration"] == "2026-11-21T12:10:00Z"
    assert "usage-bootstrap-signing" not in secret["stringData"]


def test_only_caravans_tokens_are_removed() -> None:
    ours, theirs = (base64.b64encode(text).decode() for text in (b"caravan", b"somebody"))
    calls = []

    class Double:
        def request(self, method: str, path: str, *_rest: Any, **_more: Any) -> Any:
            calls.append((method, path))
            names = {"bootstrap-token-a": ours, "bootstrap-token-b": theirs}
            return {
                "items": [{"metadata": {"name": n}, "data": {"description": d}} for n, d in names.items()]
                + [{"metadata": {"name": "bootstrap-token-c"}}]
            }

    assert tokens.remove_all(Double()) == 1  # type: ignore[arg-type]
    assert [call for call in calls if call[0] == "DELETE"] == [("DELETE", tokens.PATH + "/bootstrap-token-a")]


def test_tokens_that_a_killed_run_left_are_found_by_their_description_and_their_secrets_are_not_told() -> None:
    made = tokens.secret("abcdef.0123456789abcdef", datetime.datetime(2030, 1, 1), 600)
    stored = {
        **made,
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in made["stringData"].items()},
    }
    queries = []

    class Double:
        def request(self, method: str, path: str, query: str = "") -> Any:
            queries.append((method, path, query))
            return {"items": [stored, {"metadata": {"name": "bootstrap-token-other"}, "data": None}]}

    assert tokens.listed(Double()) == ["bootstrap-token-abcdef"]  # type: ignore[arg-type]
    assert queries == [("GET", tokens.PATH, "fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken")]


def test_object_paths() -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "caravan:csr-approver", "namespace": "kube-system"},
    }
    expected = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/caravan:csr-approver"
    assert api.object_path(role) == expected
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    assert api.object_path(namespace) == "/api/v1/namespaces/x"


def test_what_the_server_adds_is_no_difference() -> None:
    wanted = {"rules": [{"verbs": ["get"]}], "metadata": {"name": "x"}}
    actual = {"rules": [{"verbs": ["get"]}], "metadata": {"name": "x", "uid": "1"}, "status": {}}
    assert api.contains(actual, wanted)
    assert not api.contains({**actual, "rules": []}, wanted)
    assert not api.contains({**actual, "rules": [{"verbs": ["get", "list"]}]}, wanted)
    assert not api.contains(None, wanted)


def test_the_count_of_keys_in_etcd() -> None:
    request = json.loads(etcd.range_request())
    assert base64.b64decode(request["key"]) == b"/registry/"
    assert base64.b64decode(request["range_end"]) == b"/registry0"
    assert etcd.count_from('{"header": {}, "count": "42"}') == 42
    assert etcd.count_from('{"header": {}}') == 0


def test_kubeadms_output_is_made_readable_and_free_of_secrets() -> None:
    text = "\x1b[0;37mCONFIG_SECCOMP\x1b[0m: \x1b[0;32menabled\x1b[0m\n\n[ERROR Port-6443]: in use\n"
    assert steps.readable(text) == ["[ERROR Port-6443]: in use"]
    assert steps.redact("token abcdef.0123 refused", ["abcdef.0123", ""]) == "token ******** refused"
