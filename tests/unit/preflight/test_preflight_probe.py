# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe's readers, against directories that look like hosts."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._preflight import probe

RELEASE = "6.1.0-18-amd64"


def write(root: Path, name: str, content: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_an_empty_host_has_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    assert probe.memory(tmp_path) == {"total": 0, "limit": 0, "swap": 0}
    assert probe.listeners(tmp_path, []) == []
    assert probe.cgroup(tmp_path) == {"version": 0, "controllers": []}
    assert set(probe.features(tmp_path, RELEASE).values()) == {"unknown"}
    assert probe.kubernetes(tmp_path) == {
        "kubelet_conf": False,
        "admin_conf": False,
        "manifests": {},
        "network_provider": "",
        "record": {},
    }
    assert probe.distribution(tmp_path)["os_family"] == ""


@pytest.mark.parametrize(
    ("limit_file", "limit", "expected"),
    [
        (None, "", 2000),
        ("sys/fs/cgroup/memory.max", "max", 2000),
        ("sys/fs/cgroup/memory.max", str(512 << 20), 512),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", str(1 << 62), 2000),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", str(700 << 20), 700),
    ],
)
def test_memory_is_what_the_cgroup_leaves(tmp_path: Path, limit_file: str | None, limit: str, expected: int) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: 2048000 kB\nMemFree: 1 kB\nSwapTotal: 1024 kB\n")
    if limit_file:
        write(tmp_path, limit_file, f"{limit}\n")
    assert probe.memory(tmp_path) == {"total": 2000, "limit": expected, "swap": 1}


def test_cpus_are_what_the_quota_leaves(tmp_path: Path) -> None:
    unlimited = probe.cpus(tmp_path)
    assert unlimited == len(os.sched_getaffinity(0))
    write(tmp_path, "sys/fs/cgroup/cpu.max", "100000 100000\n")
    assert probe.cpus(tmp_path) == 1


def test_disks_of_directories_that_do_not_exist_yet(tmp_path: Path) -> None:
    found = probe.disks(tmp_path)
    assert set(found) == set(probe.STATE_DIRECTORIES)
    assert len({disk["device"] for disk in found.values()}) == 1
    assert all(0 <= disk["free"] <= disk["total"] for disk in found.values())


def test_features_of_a_kernel_with_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    with gzip.open(tmp_path / "proc/config.gz", "wt") as stream:
        stream.write("CONFIG_OVERLAY_FS=y\nCONFIG_NF_TABLES=y\n# CONFIG_VXLAN is not set\nCONFIG_BRIDGE=m\n")
    write(tmp_path, "sys/module/nf_conntrack/refcnt", "1")
    found = probe.features(tmp_path, RELEASE)
    assert {name for name, state in found.items() if state == "yes"} == {"overlay", "nf_tables", "conntrack"}
    assert found["vxlan"] == "no"
    assert found["bridge"] == "no"  # a module, but not there to be loaded


def test_features_that_are_modules(tmp_path: Path) -> None:
    write(
        tmp_path,
        f"lib/modules/{RELEASE}/modules.dep",
        "kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\nkernel/drivers/net/vxlan/vxlan.ko:\n",
    )
    write(
        tmp_path, f"lib/modules/{RELEASE}/modules.builtin", "kernel/fs/overlayfs/overlay.ko\nkernel/net/nf_tables.ko\n"
    )
    found = probe.features(tmp_path, RELEASE)
    assert {name for name, state in found.items() if state == "no"} == {"conntrack", "veth"}
    assert "unknown" not in found.values()


def test_both_versions_of_cgroups(tmp_path: Path) -> None:
    write(tmp_path, "proc/cgroups", "#subsys_name hierarchy num enabled\ncpu 1 2 1\nmemory 0 1 0\npids 3 4 1\n")
    assert probe.cgroup(tmp_path) == {"version": 1, "controllers": ["cpu", "pids"]}
    write(tmp_path, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    assert probe.cgroup(tmp_path) == {"version": 2, "controllers": ["cpu", "cpuset", "io", "memory", "pids"]}


def test_listeners_and_their_owners(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"
    write(
        tmp_path,
        "proc/net/tcp",
        head
        + row.format(address="0100007F:192B", state="0A", inode=11)
        + row.format(address="00000000:0016", state="0A", inode=12)
        + row.format(address="0100007F:192B", state="01", inode=13),
    )
    write(
        tmp_path,
        "proc/net/tcp6",
        head + row.format(address="00000000000000000000000001000000:280A", state="0A", inode=14),
    )
    write(tmp_path, "proc/42/comm", "haproxy\n")
    (tmp_path / "proc/42/fd").mkdir()
    (tmp_path / "proc/42/fd/3").symlink_to("socket:[11]")
    (tmp_path / "proc/42/exe").symlink_to("/usr/sbin/haproxy")
    assert probe.listeners(tmp_path, [6443, 10250]) == [
        {"port": 6443, "address": "127.0.0.1", "process": "haproxy", "program": "/usr/sbin/haproxy"},
        {"port": 10250, "address": "::1", "process": "", "program": ""},
    ]
    assert [listener["port"] for listener in probe.listeners(tmp_path, [])] == [22, 6443, 10250]


def test_a_kubernetes_node(tmp_path: Path) -> None:
    write(tmp_path, "etc/kubernetes/kubelet.conf", "")
    write(
        tmp_path,
        "etc/kubernetes/manifests/kube-apiserver.yaml",
        "spec:\n  containers:\n  - command: [x]\n    image: registry.k8s.io/kube-apiserver:v1.36.3\n",
    )
    write(tmp_path, "etc/kubernetes/manifests/other.yaml", "spec: {}\n")
    write(
        tmp_path,
        "etc/cni/net.d/10-flannel.conflist",
        json.dumps({"plugins": [{"type": "flannel"}, {"type": "portmap"}]}),
    )
    write(tmp_path, "etc/cni/net.d/99-loopback.conf", json.dumps({"type": "loopback"}))
    write(tmp_path, "etc/caravan/cluster.json", json.dumps({"name": "production", "pod_node_prefix": 24}))
    assert probe.kubernetes(tmp_path) == {
        "kubelet_conf": True,
        "admin_conf": False,
        "manifests": {"kube-apiserver": "1.36.3", "other": ""},
        "network_provider": "flannel",
        "record": {"name": "production", "pod_node_prefix": "24"},
    }


def test_a_broken_record_is_no_record(tmp_path: Path) -> None:
    write(tmp_path, "etc/caravan/cluster.json", "{not json")
    assert probe.record(tmp_path) == {}


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n', ("Debian", "12", "Debian", "apt")),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', ("Ubuntu", "24", "Debian", "apt")),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', ("Rocky", "9", "RedHat", "dnf")),
        ('ID="raspbian"\nID_LIKE=debian\nVERSION_ID="12"\n', ("Raspbian", "12", "Debian", "apt")),
    ],
)
def test_distributions_have_the_names_of_setup(tmp_path: Path, release: str, expected: tuple[str, ...]) -> None:
    write(tmp_path, "etc/os-release", release)
    found = probe.distribution(tmp_path)
    keys = ("distribution", "distribution_major_version", "os_family", "pkg_mgr")
    assert tuple(found[key] for key in keys) == expected


def test_interfaces_with_global_addresses_only() -> None:
    listed = [
        {"ifname": "lo", "mtu": 65536, "addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
        {"ifname": "eth0", "mtu": 1400, "addr_info": [{"local": "192.0.2.11", "prefixlen": 24, "scope": "global"}]},
    ]
    assert probe.interfaces(listed) == [{"name": "eth0", "mtu": 1400, "addresses": ["192.0.2.11/24"]}]


def test_this_machine_can_be_observed() -> None:
    seen = probe.observe(Path("/"), [1])
    assert seen["memory_mib"]["total"] > 0
    assert seen["clock"]["start"] <= seen["clock"]["end"]
    json.dumps(seen)
