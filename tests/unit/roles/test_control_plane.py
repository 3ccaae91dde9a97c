# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles kubernetes, control_plane and worker hand to kubeadm and the kubelet."""

from __future__ import annotations

import json
from typing import Any

import yaml
from rendering import HA_GROUPS, HA_HOSTS, ROLES, Host

KUBERNETES = {
    key: value
    for file in ("defaults", "vars")
    for key, value in yaml.safe_load((ROLES / "kubernetes" / file / "main.yml").read_text()).items()
}
# The second is where lookups of templates look, which a real run sets.
VIP = {"api_endpoint_vip": "10.0.0.100", "ansible_search_path": [str(ROLES / "control_plane")]}


def control_plane(name: str = "cp1", groups: dict[str, list[str]] | None = None, **settings: Any) -> Host:
    return Host("control_plane", name, HA_HOSTS, groups, **{**KUBERNETES, **VIP, **settings})


def documents(host: Host) -> dict[str, Any]:
    return {item["kind"]: item for item in yaml.safe_load_all(host.template("kubeadm.yml.j2"))}


def arguments(component: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in component["extraArgs"]}


def test_every_argument_is_a_text_as_kubeadm_wants_it() -> None:
    cluster = documents(control_plane())["ClusterConfiguration"]
    for component in ("apiServer", "controllerManager", "scheduler"):
        assert all(isinstance(value, str) for value in arguments(cluster[component]).values())


def test_the_cluster_is_known_by_name_and_no_address_of_a_host_is_in_the_clusters_configuration() -> None:
    text = json.dumps(documents(control_plane())["ClusterConfiguration"])
    assert '"controlPlaneEndpoint": "api.demo.example:6443"' in text
    assert not any(address in text for address in HA_HOSTS.values())


def test_the_clusters_configuration_is_the_same_on_every_host() -> None:
    assert (
        len({json.dumps(documents(control_plane(name))["ClusterConfiguration"]) for name in HA_GROUPS["control_plane"]})
        == 1
    )


def test_another_worker_or_another_order_changes_nothing_on_a_control_plane_host() -> None:
    before = control_plane().template("kubeadm.yml.j2")
    hosts = {**HA_HOSTS, "worker3": "10.0.0.23"}
    groups = {
        "cluster": list(hosts),
        "etcd": ["cp3", "cp1", "cp2"],
        "control_plane": ["cp2", "cp3", "cp1"],
        "worker": ["worker3"],
    }
    after = Host("control_plane", "cp1", hosts, groups, **{**KUBERNETES, **VIP}).template("kubeadm.yml.j2")
    assert after == before


def test_the_certificate_names_endpoint_loopback_and_virtual_address() -> None:
    names = documents(control_plane())["ClusterConfiguration"]["apiServer"]["certSANs"]
    assert names == ["api.demo.example", "localhost", "127.0.0.1", "10.0.0.100"]


def test_an_api_server_beside_etcd_uses_its_own_member_only_and_else_all() -> None:
    etcd = documents(control_plane())["ClusterConfiguration"]["etcd"]["external"]
    assert etcd["endpoints"] == ["https://127.0.0.1:2379"]
    groups = {**HA_GROUPS, "etcd": ["worker1", "worker2", "cp3"]}
    apart = documents(control_plane(groups=groups))["ClusterConfiguration"]["etcd"]["external"]
    assert apart["endpoints"] == ["https://cp3:2379", "https://worker1:2379", "https://worker2:2379"]


def test_the_api_server_listens_on_the_nodes_address_only() -> None:
    patch = json.loads(control_plane("cp2").template("kube-apiserver.json.j2"))
    assert patch[0]["value"] == "--bind-address=10.0.0.12"


def test_what_the_api_server_reads_at_its_start_is_in_its_annotations() -> None:
    def digest(**settings: Any) -> str:
        return str(json.loads(control_plane(**settings).template("kube-apiserver.json.j2"))[1]["value"])

    assert digest() == digest()
    assert digest() != digest(control_plane_pod_security_enforce="restricted")
    assert digest() != digest(control_plane_event_rate_limit_qps=7)


def test_security_is_on_without_asking() -> None:
    cluster = documents(control_plane())["ClusterConfiguration"]
    api = arguments(cluster["apiServer"])
    assert api["encryption-provider-config"] == "/run/caravan/kubernetes/encryption.yml"
    assert api["kubelet-certificate-authority"] == "/etc/kubernetes/pki/ca.crt"
    assert api["service-account-extend-token-expiration"] == "false"
    assert {"NodeRestriction", "EventRateLimit", "DenyServiceExternalIPs"} <= set(
        api["enable-admission-plugins"].split(",")
    )
    assert "anonymous-auth" not in api
    for component in ("apiServer", "controllerManager", "scheduler"):
        found = arguments(cluster[component])
        assert found["profiling"] == "false"
        assert found["tls-min-version"] == "VersionTLS12"
        assert all("GCM" in suite or "CHACHA20" in suite for suite in found["tls-cipher-suites"].split(","))
    for component in ("controllerManager", "scheduler"):
        assert arguments(cluster[component])["bind-address"] == "127.0.0.1"


def test_only_health_can_be_asked_without_credentials() -> None:
    config = yaml.safe_load(control_plane().template("authentication.yml.j2"))
    assert config["apiVersion"] == "apiserver.config.k8s.io/v1"
    assert [item["path"] for item in config["anonymous"]["conditions"]] == ["/livez", "/readyz", "/healthz"]
    older = yaml.safe_load(control_plane(cluster_kubernetes_version="1.33.13").template("authentication.yml.j2"))
    assert older["apiVersion"] == "apiserver.config.k8s.io/v1beta1"
    tenant = {"issuer": {"url": "https://id.example", "audiences": ["demo"]}}
    assert yaml.safe_load(control_plane(control_plane_authentication_jwt=[tenant]).template("authentication.yml.j2"))[
        "jwt"
    ] == [tenant]


def test_the_audit_log_never_has_the_contents_of_secrets() -> None:
    policy = yaml.safe_load(control_plane().template("audit.yml.j2"))
    secrets = next(
        rule
        for rule in policy["rules"]
        if "secrets" in [r for g in rule.get("resources", []) for r in g.get("resources", [])]
    )
    assert secrets["level"] == "Metadata"
    assert policy["rules"].index(secrets) < next(
        index for index, rule in enumerate(policy["rules"]) if rule["level"].startswith("Request")
    )
    assert policy["rules"][-1] == {"level": "Metadata"}


def test_the_audit_log_is_rotated_and_has_a_bound() -> None:
    limits: dict[str, Any] = {"audit_max_age_days": 7, "audit_max_backups": 3, "audit_max_size_mb": 50}
    host = control_plane(**{f"control_plane_{name}": value for name, value in limits.items()})
    api = arguments(documents(host)["ClusterConfiguration"]["apiServer"])
    assert (api["audit-log-maxage"], api["audit-log-maxbackup"], api["audit-log-maxsize"]) == ("7", "3", "50")
    assert api["audit-policy-file"] and api["audit-log-path"] == "/var/log/kubernetes/audit/audit.log"


def test_kubeadm_s_documents_and_the_kubelets_are_of_the_versions_that_are_read() -> None:
    found = {kind: item["apiVersion"] for kind, item in documents(control_plane()).items()}
    assert found["InitConfiguration"] == found["ClusterConfiguration"] == "kubeadm.k8s.io/v1beta4"
    assert found["KubeletConfiguration"] == "kubelet.config.k8s.io/v1beta1"
    assert documents(control_plane())["KubeProxyConfiguration"]["mode"] == "nftables"


def test_pod_security_is_enforced_and_warned_of() -> None:
    config = yaml.safe_load(control_plane().template("admission.yml.j2"))
    security = next(item for item in config["plugins"] if item["name"] == "PodSecurity")["configuration"]
    assert (security["defaults"]["enforce"], security["defaults"]["warn"]) == ("baseline", "restricted")
    assert security["exemptions"]["namespaces"] == ["kube-system"]
    assert yaml.safe_load(control_plane().template("event_rate_limit.yml.j2"))["limits"][0]["qps"] == 1000


def test_kubeadm_fetches_no_image_and_makes_no_lasting_token() -> None:
    init = documents(control_plane())["InitConfiguration"]
    assert init["nodeRegistration"]["imagePullPolicy"] == "Never"
    assert "show-join-command" in init["skipPhases"]
    assert init["bootstrapTokens"][0]["ttl"] == "10m0s"
    assert "token" not in init["bootstrapTokens"][0]


def test_control_plane_nodes_are_tainted_unless_they_are_workers_too() -> None:
    taints = documents(control_plane())["InitConfiguration"]["nodeRegistration"]["taints"]
    assert [taint["key"] for taint in taints] == ["node-role.kubernetes.io/control-plane"]
    both = control_plane(groups={**HA_GROUPS, "worker": ["cp1"]})
    assert documents(both)["InitConfiguration"]["nodeRegistration"]["taints"] == []
    assert both.value("__control_plane_node_labels") == {"node-role.kubernetes.io/control-plane": ""}


def test_a_kubelet_gives_itself_no_label_that_it_may_not() -> None:
    labels = {
        "zone": "a",
        "example.com/tier": "gold",
        "node-role.kubernetes.io/db": "",
        "kubernetes.io/x": "",
        "foo.k8s.io/y": "",
    }
    host = control_plane(kubernetes_node_labels=labels)
    assert host.value("__kubernetes_registration_labels") == {"zone": "a", "example.com/tier": "gold"}
    extra = {
        item["name"]: item["value"]
        for item in documents(host)["InitConfiguration"]["nodeRegistration"]["kubeletExtraArgs"]
    }
    assert set(extra["node-labels"].split(",")) == {"zone=a", "example.com/tier=gold"}


def test_the_inventorys_additions_win() -> None:
    host = control_plane(
        kubernetes_kubelet_extra_config={"failCgroupV1": False, "authentication": {"anonymous": {"enabled": True}}},
        kubernetes_kubeproxy_extra_config={"conntrack": {"min": 0}},
        control_plane_apiserver_extra_args={"profiling": "true", "goaway-chance": "0.001"},
    )
    found = documents(host)
    assert found["KubeletConfiguration"]["failCgroupV1"] is False
    assert found["KubeletConfiguration"]["authentication"]["anonymous"]["enabled"] is True
    assert found["KubeletConfiguration"]["authentication"]["webhook"]["enabled"] is True
    assert found["KubeProxyConfiguration"]["mode"] == "nftables"
    assert found["KubeProxyConfiguration"]["conntrack"] == {"min": 0}
    api = arguments(found["ClusterConfiguration"]["apiServer"])
    assert (api["profiling"], api["goaway-chance"]) == ("true", "0.001")


def test_the_kubelets_own_file_is_the_same_configuration() -> None:
    host = Host("kubernetes", "worker1")
    config = yaml.safe_load(host.template("kubelet.conf.j2"))
    assert config["clusterDNS"] == ["10.96.0.10"]
    for field, value in {
        "readOnlyPort": 0,
        "serverTLSBootstrap": True,
        "rotateCertificates": True,
        "seccompDefault": True,
    }.items():
        assert config[field] == value
    assert "--config-dir=/etc/kubernetes/kubelet.conf.d" in host.template("10-kubeadm.conf.j2")


SEEN = {"api_healthy": True, "complete": True}


def leaders(**seen: Any) -> list[str]:
    hosts = {"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13", "worker1": "10.0.0.21"}
    host = Host("worker", "worker1", hosts, {**HA_GROUPS, "worker": ["worker1"]}, **KUBERNETES)
    variables = {name: {"ansible_host": address, **seen.get(name, {})} for name, address in hosts.items()}
    host.templar.available_variables = {**host.templar.available_variables, "hostvars": variables}
    return list(host.value("__worker_leaders"))


def test_workers_join_through_any_healthy_control_plane_host() -> None:
    healthy = {"__control_plane_seen": {"state": SEEN}}
    ill = {"__control_plane_seen": {"state": {**SEEN, "api_healthy": False}}}
    fresh = {
        "__control_plane_seen": {"state": {"api_healthy": False, "complete": False}},
        "__control_plane_join": {"changed": True},
    }
    assert leaders(cp2=healthy, cp3=healthy) == ["cp2", "cp3"]
    assert leaders(cp1=ill, cp3=healthy) == ["cp3"]
    assert leaders(cp1=fresh, cp3=healthy) == ["cp3", "cp1"]
    assert leaders(cp1={"__control_plane_seen": {"unreachable": True}}) == []
