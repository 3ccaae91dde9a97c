# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what preflight must know of a host. Nothing is written, and no program runs but `ip` and perhaps `modprobe -n`.

Every reader takes the root of the file system, so that a test can hand it a directory. A reader that finds nothing
returns None, an empty list or an empty string; it never raises on a host that lacks a file.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import platform
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORD_PATH = "/etc/caravan/cluster.json"

# Directories that grow, each with what lives there. Several may be on the same file system.
STATE_DIRECTORIES = ("/var/lib", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet")

# Feature -> (module name, name in the kernel's configuration, paths whose existence proves it)
FEATURES = {
    "overlay": ("overlay", "CONFIG_OVERLAY_FS", ()),
    "bridge": ("bridge", "CONFIG_BRIDGE", ()),
    "br_netfilter": ("br_netfilter", "CONFIG_BRIDGE_NETFILTER", ("proc/sys/net/bridge/bridge-nf-call-iptables",)),
    "nf_tables": ("nf_tables", "CONFIG_NF_TABLES", ()),
    "vxlan": ("vxlan", "CONFIG_VXLAN", ()),
    "conntrack": ("nf_conntrack", "CONFIG_NF_CONNTRACK", ("proc/sys/net/netfilter/nf_conntrack_max",)),
    "veth": ("veth", "CONFIG_VETH", ()),
}
CGROUP_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")

# Type of a CNI plugin -> network provider
PROVIDERS = {
    "flannel": "flannel",
    "calico": "calico",
    "cilium-cni": "cilium",
    "weave-net": "weave",
    "kube-router": "kube-router",
    "antrea": "antrea",
    "ovn-k8s-cni-overlay": "ovn-kubernetes",
}
OS_FAMILIES = {
    "debian": "Debian",
    "ubuntu": "Debian",
    "rhel": "RedHat",
    "centos": "RedHat",
    "fedora": "RedHat",
    "rocky": "RedHat",
    "almalinux": "RedHat",
    "ol": "RedHat",
    "amzn": "RedHat",
    "sles": "Suse",
    "opensuse": "Suse",
}
DISTRIBUTIONS = {
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "rhel": "RedHat",
    "centos": "CentOS",
    "fedora": "Fedora",
    "rocky": "Rocky",
    "almalinux": "AlmaLinux",
    "ol": "OracleLinux",
    "amzn": "Amazon",
}


def text(path: Path, limit: int = 1 << 20) -> str:
    """The start of a file, or an empty string where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


def memory(root: Path) -> dict[str, int]:
    """MiB: `total` of the kernel, `limit` of the cgroup where it is lower, `swap` in use by the kernel."""
    values = {}
    for line in text(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            values[name] = int(number[0]) // 1024
    total = values.get("MemTotal", 0)
    limits = [total]
    for name in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        value = text(root / name).strip()
        if value.isdigit():
            limits.append(int(value) >> 20)
    return {"total": total, "limit": min(limits), "swap": values.get("SwapTotal", 0)}


def cpus(root: Path) -> int:
    """CPUs that a process may really use: the affinity mask, cut by the cgroup's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        count = os.cpu_count() or 1
    quota, period = "", ""
    parts = text(root / "sys/fs/cgroup/cpu.max").split()
    if len(parts) == 2:
        quota, period = parts
    else:
        quota = text(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").strip()
        period = text(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us").strip()
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        count = min(count, max(1, int(quota) // int(period)))
    return count


def disks(root: Path) -> dict[str, dict[str, Any]]:
    """Free and total MiB under each state directory, and the device, which tells which of them share a file system."""
    found = {}
    for directory in STATE_DIRECTORIES:
        path = root / directory.lstrip("/")
        while not path.exists() and path != path.parent:
            path = path.parent
        with contextlib.suppress(OSError):
            status = os.statvfs(path)
            found[directory] = {
                "free": status.f_bavail * status.f_frsize >> 20,
                "total": status.f_blocks * status.f_frsize >> 20,
                "device": path.stat().st_dev,
            }
    return found


def kernel_configuration(root: Path, release: str) -> dict[str, str]:
    """The options of FEATURES that the kernel's own configuration names: `y`, `m` or `n`. Empty where there is none."""
    content = ""
    packed = root / "proc/config.gz"
    if packed.exists():
        with (
            contextlib.suppress(OSError, EOFError),
            gzip.open(packed, "rt", encoding="utf-8", errors="replace") as stream,
        ):
            content = stream.read()
    for name in (f"boot/config-{release}", f"lib/modules/{release}/config", f"lib/modules/{release}/build/.config"):
        content = content or text(root / name)
    if not content:
        return {}
    found = dict(re.findall(r"^(CONFIG_[A-Z0-9_]+)=([ym])$", content, re.MULTILINE))
    return {option: found.get(option, "n") for _, option, _ in FEATURES.values()}


def features(root: Path, release: str) -> dict[str, str]:
    """Every feature of FEATURES: `yes`, `no`, or `unknown` where the host (a container, say) does not tell."""
    configuration = kernel_configuration(root, release)
    modules = root / "lib/modules" / release
    known = set()
    for name in ("modules.builtin", "modules.dep"):
        for match in re.finditer(r"([^/\s:]+)\.ko(?:\.[a-z0-9]+)?(?=:|$)", text(modules / name, 1 << 24), re.MULTILINE):
            known.add(match.group(1).replace("-", "_"))
    result = {}
    for feature, (module, option, proofs) in FEATURES.items():
        setting = configuration.get(option)
        if (
            (root / "sys/module" / module).exists()
            or any((root / proof).exists() for proof in proofs)
            or module in known
            or setting == "y"
            or (feature == "overlay" and re.search(r"\boverlay$", text(root / "proc/filesystems"), re.MULTILINE))
        ):
            result[feature] = "yes"
        elif setting is not None or known:
            # Not loaded, and neither built in nor among the modules that could be loaded.
            result[feature] = "no"
        else:
            result[feature] = _dry_modprobe(module) if root == Path("/") else "unknown"
    return result


def _dry_modprobe(module: str) -> str:
    """The last resort: modprobe's own answer, without loading anything."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(["modprobe", "-n", "-q", module], capture_output=True, timeout=5, check=False)
        return "yes" if done.returncode == 0 else "unknown"
    return "unknown"


def cgroup(root: Path) -> dict[str, Any]:
    """`version` 1 or 2 (0: none mounted) and the list of `controllers` that work."""
    unified = root / "sys/fs/cgroup/cgroup.controllers"
    if unified.exists():
        return {"version": 2, "controllers": sorted(text(unified).split())}
    enabled = []
    for line in text(root / "proc/cgroups").splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[3] == "1":
            enabled.append(fields[0])
    return {"version": 1 if enabled else 0, "controllers": sorted(enabled)}


def addresses(root: Path) -> list[dict[str, Any]]:
    """Interfaces that carry global addresses: name, MTU and addresses with their prefix lengths."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(["ip", "-json", "address"], capture_output=True, timeout=5, check=True)
        return interfaces(json.loads(done.stdout))
    mtus = {}
    with contextlib.suppress(OSError):
        for path in (root / "sys/class/net").iterdir():
            value = text(path / "mtu").strip()
            mtus[path.name] = int(value) if value.isdigit() else 0
    return [{"name": name, "mtu": mtu, "addresses": []} for name, mtu in sorted(mtus.items()) if name != "lo"]


def interfaces(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From `ip -json address`, what has at least one global address."""
    found = []
    for item in listed:
        own = [
            f"{entry['local']}/{entry['prefixlen']}"
            for entry in item.get("addr_info", [])
            if entry.get("scope") == "global" and "local" in entry
        ]
        if own:
            found.append({"name": item.get("ifname", ""), "mtu": item.get("mtu", 0), "addresses": own})
    return found


def listeners(root: Path, ports: list[int]) -> list[dict[str, Any]]:
    """Listening TCP sockets: port, address, and the owning process's name and program (empty where not visible)."""
    wanted = set(ports)
    found: dict[str, dict[str, Any]] = {}
    for name in ("proc/net/tcp", "proc/net/tcp6"):
        for line in text(root / name, 1 << 24).splitlines()[1:]:
            fields = line.split()
            if len(fields) < 10 or fields[3] != "0A":
                continue
            host, _, port = fields[1].rpartition(":")
            number = int(port, 16)
            if not wanted or number in wanted:
                found[fields[9]] = {"port": number, "address": _address(host), "process": "", "program": ""}
    if found:
        for inode, name, program in _socket_owners(root, set(found)):
            found[inode].update(process=name, program=program)
    return sorted(found.values(), key=lambda item: (item["port"], item["address"]))


def _address(coded: str) -> str:
    """An address of /proc/net/tcp: hexadecimal words in the host's byte order (little-endian where Kubernetes runs)."""
    raw = bytes.fromhex(coded)
    swapped = b"".join(raw[index : index + 4][::-1] for index in range(0, len(raw), 4))
    return socket.inet_ntop(socket.AF_INET if len(swapped) == 4 else socket.AF_INET6, swapped)


def _socket_owners(root: Path, inodes: set[str]) -> Iterator[tuple[str, str, str]]:
    for process in (root / "proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for descriptor in os.scandir(process / "fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(descriptor.path)  # noqa: PTH115 - thousands of them, and Path is slow
                    if target.startswith("socket:[") and target[8:-1] in inodes:
                        program = ""
                        with contextlib.suppress(OSError):
                            program = os.readlink(str(process / "exe"))  # noqa: PTH115
                        yield target[8:-1], text(process / "comm").strip(), program


def kubernetes(root: Path) -> dict[str, Any]:
    """What is installed: credentials, static pods with their versions, the CNI in use, and what Caravan wrote down."""
    etc = root / "etc/kubernetes"
    manifests = {}
    with contextlib.suppress(OSError):
        for path in sorted((etc / "manifests").iterdir()):
            match = re.search(r"^\s*(?:- )?image:\s*[\"']?\S+?:v?([0-9][^\s\"'@]*)", text(path), re.MULTILINE)
            if path.suffix in (".yaml", ".yml", ".json"):
                manifests[path.stem] = match.group(1) if match else ""
    return {
        "kubelet_conf": (etc / "kubelet.conf").exists(),
        "admin_conf": (etc / "admin.conf").exists(),
        "manifests": manifests,
        "network_provider": network_provider(root),
        "record": record(root),
    }


def record(root: Path) -> dict[str, str]:
    """What the roles control_plane and worker wrote at the end of a successful join. Empty before that.

    Keys, all strings: name, endpoint, pod_cidr, pod_node_prefix, service_cidr, dns_domain, network_provider,
    kubernetes_version.
    """
    with contextlib.suppress(ValueError):
        content = json.loads(text(root / RECORD_PATH.lstrip("/")) or "{}")
        if isinstance(content, dict):
            return {str(key): str(value) for key, value in content.items()}
    return {}


def network_provider(root: Path) -> str:
    """Which network the CNI configuration that the runtime would take (the first by name) belongs to; empty: none."""
    with contextlib.suppress(OSError):
        for path in sorted((root / "etc/cni/net.d").iterdir()):
            if path.suffix not in (".conf", ".conflist", ".json"):
                continue
            with contextlib.suppress(ValueError):
                content = json.loads(text(path))
                if isinstance(content, dict):
                    kinds = [str(plugin.get("type")) for plugin in content.get("plugins", [content])]
                    return next((PROVIDERS[kind] for kind in kinds if kind in PROVIDERS), kinds[0] if kinds else "")
    return ""


def distribution(root: Path) -> dict[str, str]:
    """The facts that roles choose their vars files by, under the names and with the values `setup` gives them."""
    release = {}
    for line in text(root / "etc/os-release").splitlines():
        name, _, value = line.partition("=")
        release[name] = value.strip().strip("\"'")
    identifier = release.get("ID", "")
    likes = [identifier, *release.get("ID_LIKE", "").split()]
    family = next((OS_FAMILIES[like] for like in likes if like in OS_FAMILIES), identifier.capitalize())
    version = release.get("VERSION_ID", "")
    major = version.split(".")[0]
    manager = "apt" if family == "Debian" else "dnf"
    if family == "RedHat" and (root / "usr/bin/dnf5").exists():
        manager = "dnf5"
    return {
        "distribution": DISTRIBUTIONS.get(identifier, identifier.capitalize()),
        "distribution_release": release.get("VERSION_CODENAME", ""),
        "distribution_version": version,
        "distribution_major_version": major,
        "os_family": family,
        "architecture": platform.machine(),
        "pkg_mgr": manager,
        "service_mgr": "systemd" if (root / "run/systemd/system").exists() else "unknown",
    }


def observe(root: Path, ports: list[int]) -> dict[str, Any]:
    """One snapshot of the host. `clock` holds epoch seconds at the start and the end of the observation."""
    start = time.time()
    release = platform.release()
    found: dict[str, Any] = {
        "memory_mib": memory(root),
        "cpus": cpus(root),
        "disks_mib": disks(root),
        "kernel": {"release": release, "features": features(root, release)},
        "cgroup": cgroup(root),
        "machine_id": text(root / "etc/machine-id").strip(),
        "hostname": platform.node(),
        "interfaces": addresses(root),
        "python": platform.python_version(),
        "listeners": listeners(root, ports),
        "kubernetes": kubernetes(root),
        "uid": os.geteuid(),
    }
    found["clock"] = {"start": start, "end": time.time()}
    return found
