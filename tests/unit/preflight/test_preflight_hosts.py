# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of unfit host, as `host_probe` would have seen it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._preflight import clock, hosts, problem

GROUPS = {"etcd": ["cp1"], "control_plane": ["cp1"], "worker": ["worker1"]}
SETTINGS = {
    "cluster_name": "production",
    "cluster_endpoint": "api.example.org",
    "cluster_pod_cidr": "10.244.0.0/16",
    "cluster_pod_node_prefix": 24,
    "cluster_service_cidr": "10.96.0.0/16",
    "cluster_dns_domain": "cluster.local",
    "cluster_kubernetes_version": "1.36.3",
    "network_provider": "flannel",
    "preflight_control_plane_memory_mib": 1700,
    "preflight_control_plane_cpus": 2,
    "preflight_worker_memory_mib": 900,
    "preflight_worker_cpus": 1,
    "preflight_etcd_memory_mib": 900,
    "preflight_etcd_cpus": 1,
    "preflight_disk_free_gib": 10,
    "preflight_clock_skew_seconds": 1.0,
}
RECORD = {
    "name": "production",
    "endpoint": "api.example.org",
    "pod_cidr": "10.244.0.0/16",
    "pod_node_prefix": "24",
    "service_cidr": "10.96.0.0/16",
    "dns_domain": "cluster.local",
    "network_provider": "flannel",
    "kubernetes_version": "1.36.3",
}
PROBE: dict[str, Any] = {
    "memory_mib": {"total": 4000, "limit": 4000, "swap": 0},
    "cpus": 2,
    "disks_mib": {
        "/var/lib": {"free": 50000, "total": 90000, "device": 1},
        "/var/lib/etcd": {"free": 50000, "total": 90000, "device": 1},
    },
    "kernel": {
        "release": "6.1.0",
        "features": dict.fromkeys(
            ("overlay", "bridge", "br_netfilter", "nf_tables", "vxlan", "conntrack", "veth"), "yes"
        ),
    },
    "cgroup": {"version": 2, "controllers": ["cpu", "cpuset", "io", "memory", "pids"]},
    "machine_id": "a",
    "interfaces": [{"name": "eth0", "mtu": 1500, "addresses": ["192.0.2.11/24"]}],
    "listeners": [],
    "kubernetes": {"kubelet_conf": False, "admin_conf": False, "manifests": {}, "network_provider": "", "record": {}},
    "uid": 0,
    "clock": {"offset": 0.0, "error": 0.1},
    "architecture": "x86_64",
}


def probes() -> dict[str, dict[str, Any]]:
    found = {"cp1": copy.deepcopy(PROBE), "worker1": copy.deepcopy(PROBE)}
    found["worker1"]["machine_id"] = "b"
    return found


def report(seen: dict[str, Any], **settings: Any) -> list[str]:
    return problem.lines(hosts.check(seen, GROUPS, {host: {**SETTINGS, **settings} for host in seen}))


def test_good_hosts_have_no_problem() -> None:
    assert report(probes()) == []


def test_members_of_the_cluster_have_no_problem() -> None:
    seen = probes()
    for probe in seen.values():
        probe["kubernetes"].update(kubelet_conf=True, network_provider="flannel", record=dict(RECORD))
        probe["kubernetes"]["manifests"] = {"kube-apiserver": "1.36.3"}
        probe["listeners"] = [{"port": 6443, "address": "0.0.0.0", "process": "anything", "program": ""}]
        probe["disks_mib"]["/var/lib"]["free"] = 800
    assert report(seen) == []


def change(path: str, value: Any) -> Any:
    def apply(probe: dict[str, Any]) -> None:
        *parents, last = path.split("|")
        for key in parents:
            probe = probe[key]
        probe[last] = value

    return apply


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            change("memory_mib|limit", 800),
            "worker1: the memory is 800 MiB; wanted at least 900 MiB; change preflight_worker_memory_mib",
        ),
        (
            change("cpus", 0),
            "worker1: the number of CPUs is 0; wanted at least 1; change preflight_worker_cpus",
        ),
        (
            change("disks_mib|/var/lib", {"free": 2048, "total": 9000, "device": 1}),
            "worker1: 2.0 GiB are free for /var/lib; wanted at least 10.0 GiB; change preflight_disk_free_gib",
        ),
        (
            change("kernel|features", {**PROBE["kernel"]["features"], "vxlan": "no", "nf_tables": "no"}),
            "worker1: kernel 6.1.0 lacks nf_tables, vxlan; wanted a kernel with them; change the kernel, or "
            "preflight_ignored_kernel_features",
        ),
        (
            change("cgroup|version", 1),
            "worker1: cgroup version 1; wanted version 2; change the host's boot options, or preflight_allow_cgroup_v1",
        ),
        (
            change("cgroup|controllers", ["cpu", "cpuset", "pids"]),
            "worker1: the cgroup controllers memory are missing; wanted cpu, cpuset, memory, pids; change the host's "
            "boot options",
        ),
        (
            change("machine_id", "a"),
            "worker1: the machine-id a is also that of cp1; wanted one of its own (systemd-machine-id-setup), or one "
            "inventory "
            "entry for each machine; change /etc/machine-id or ansible_host",
        ),
        (
            change("machine_id", ""),
            "worker1: the machine-id is empty; wanted one of its own (systemd-machine-id-setup), or one inventory "
            "entry for each "
            "machine; change /etc/machine-id or ansible_host",
        ),
        (
            change("clock", {"offset": 3.2, "error": 0.1}),
            "worker1: the clock is 3.2 s ahead of the others; wanted at most 1 s apart; change the host's time "
            "synchronisation, or "
            "preflight_clock_skew_seconds",
        ),
        (
            change(
                "listeners", [{"port": 10250, "address": "0.0.0.0", "process": "nginx", "program": "/usr/sbin/nginx"}]
            ),
            "worker1: port 10250 on 0.0.0.0 is in use by nginx (/usr/sbin/nginx); wanted it free for kubelet; change "
            "the process, "
            "or preflight_ignored_ports",
        ),
        (
            change("uid", 1000),
            "worker1: connected as the user with uid 1000; wanted root; change ansible_become or ansible_user",
        ),
        (
            change("architecture", "armv7l"),
            "worker1: the architecture is armv7l; wanted one of x86_64, aarch64; change the host",
        ),
        (
            change("kubernetes|record", {**RECORD, "kubernetes_version": "1.34.4"}),
            "worker1: Kubernetes 1.34.4 is installed and 1.36.3 is asked for, more than one minor version apart; "
            "wanted 1.34 or "
            "1.35 first; change cluster_kubernetes_version",
        ),
        (
            change("kubernetes|record", {**RECORD, "kubernetes_version": "1.35.4"}),
            "worker1: Kubernetes 1.35.4 is installed and 1.36.3 is asked for, an upgrade; wanted 1.35.4: "
            "site.yml upgrades no live cluster; change cluster_kubernetes_version",
        ),
        (
            change("kubernetes|record", {**RECORD, "kubernetes_version": "1.37.1"}),
            "worker1: Kubernetes 1.37.1 is installed and 1.36.3 is asked for, a downgrade; wanted at least 1.37.1: "
            "Kubernetes cannot "
            "go back; change cluster_kubernetes_version",
        ),
        (
            change("kubernetes|manifests", {"kube-apiserver": "1.36.4"}),
            "worker1: Kubernetes 1.36.4 is installed and 1.36.3 is asked for, a downgrade; wanted at least 1.36.4: "
            "Kubernetes cannot "
            "go back; change cluster_kubernetes_version",
        ),
        *(
            (
                change("kubernetes|record", {**RECORD, key: "other"}),
                f"worker1: {variable} is '{SETTINGS[variable]}'; wanted 'other', which the node lives with and which "
                f"cannot "
                f"change; change {variable}",
            )
            for key, variable in hosts.FIXED.items()
        ),
    ],
)
def test_an_unfit_host_is_named(changed: Any, expected: str) -> None:
    seen = probes()
    changed(seen["worker1"])
    assert report(seen) == [expected]


def test_the_network_of_a_node_without_a_record_counts() -> None:
    seen = probes()
    seen["worker1"]["kubernetes"].update(kubelet_conf=True, network_provider="calico")
    assert report(seen) == [
        "worker1: network_provider is 'flannel'; wanted 'calico', which the node lives with and which cannot change; "
        "change "
        "network_provider"
    ]


def test_the_largest_of_a_hosts_roles_decides() -> None:
    seen = probes()
    seen["cp1"].update(cpus=1)
    seen["cp1"]["memory_mib"]["limit"] = 1000
    assert report(seen) == [
        "cp1: the memory is 1000 MiB; wanted at least 1700 MiB; change preflight_control_plane_memory_mib",
        "cp1: the number of CPUs is 1; wanted at least 2; change preflight_control_plane_cpus",
    ]


@pytest.mark.parametrize(
    ("changed", "settings"),
    [
        (change("cgroup|version", 1), {"preflight_allow_cgroup_v1": True}),
        (change("kernel|features|vxlan", "no"), {"network_provider": "calico"}),
        (change("kernel|features|veth", "no"), {"preflight_ignored_kernel_features": ["veth"]}),
        (change("kernel|features|veth", "unknown"), {}),
        (change("listeners", [{"port": 10250, "address": "::", "process": "x"}]), {"preflight_ignored_ports": [10250]}),
        (change("listeners", [{"port": 10250, "address": "::", "process": "kubelet"}]), {}),
        (change("listeners", [{"port": 22, "address": "::", "process": "sshd"}]), {}),
        (change("clock", {"offset": 1.5, "error": 0.8}), {}),
        (change("clock", {"offset": 3.0, "error": 0.1}), {"preflight_clock_skew_seconds": 5}),
    ],
)
def test_what_is_allowed_passes(changed: Any, settings: dict[str, Any]) -> None:
    seen = probes()
    changed(seen["worker1"])
    assert report(seen, **settings) == []


def test_an_interrupted_first_run_is_no_foreign_cluster() -> None:
    seen = probes()
    seen["cp1"]["kubernetes"].update(
        kubelet_conf=True, manifests={"kube-apiserver": "1.36.3"}, network_provider="flannel"
    )
    seen["cp1"]["listeners"] = [
        {"port": port, "address": "0.0.0.0", "process": process, "program": ""}
        for port, process in ((2379, "etcd"), (6443, "kube-apiserver"), (6443, "haproxy"), (10250, "kubelet"))
    ]
    assert report(seen) == []


def test_a_controller_with_a_wrong_clock_is_the_one_named() -> None:
    seen = probes()
    for probe in seen.values():
        probe["clock"] = {"offset": 90.0, "error": 0.1}
    assert report(seen) == [
        "controller: the clock is 90.0 s behind the others; wanted at most 1 s apart; change the host's time "
        "synchronisation, or "
        "preflight_clock_skew_seconds"
    ]


def test_a_reading_is_compared_with_the_middle_of_the_span() -> None:
    reading = clock.compare({"start": 105.1, "end": 105.2}, sent=100.0, received=100.4)
    assert (reading["offset"], reading["error"]) == (4.95, 0.15)
    assert not clock.doubtful(reading)
    assert clock.doubtful(clock.compare({"start": 101.0, "end": 101.0}, sent=100.0, received=101.1))
    assert not clock.doubtful(clock.compare({"start": 100.5, "end": 100.5}, sent=100.0, received=101.0))


def test_the_middle_reading_may_be_coarse_as_well() -> None:
    coarse = {"offset": 1.2, "error": 0.9}
    assert clock.apart({"controller": {"offset": 0.0, "error": 0.0}, "a": coarse, "b": dict(coarse)}, 1.0) == {}
