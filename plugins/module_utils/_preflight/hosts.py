# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of the hosts, given what `host_probe` saw on each. Pure, and linear in the number of hosts.

Shapes: `probes` maps a host to its `caravan_host` fact; `values` to its variables; `groups` a group to its hosts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .clock import apart
from .problem import Problem
from .spec import shown

Probe = dict[str, Any]
Settings = dict[str, Any]

CONTROLLER = "controller"
GIB = 1024
# MiB a host that already belongs to the cluster must still have free.
FLOOR_FREE_MIB = 512
ARCHITECTURES = ("x86_64", "aarch64")
CGROUP_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
NODE_FEATURES = ("overlay", "bridge", "br_netfilter", "nf_tables", "conntrack", "veth")

# Port -> names of the processes that may own it, by group. Names as the kernel cuts them, to 15 characters.
PORTS: dict[str, dict[int, tuple[str, ...]]] = {
    "etcd": {2379: ("etcd",), 2380: ("etcd",)},
    "control_plane": {
        6443: ("kube-apiserver", "haproxy"),
        10249: ("kube-proxy",),
        10250: ("kubelet",),
        10256: ("kube-proxy",),
        10257: ("kube-controller",),
        10259: ("kube-scheduler",),
    },
    "worker": {6443: ("haproxy",), 10249: ("kube-proxy",), 10250: ("kubelet",), 10256: ("kube-proxy",)},
}
# Key of the record on the host -> variable
FIXED = {
    "name": "cluster_name",
    "endpoint": "cluster_endpoint",
    "pod_cidr": "cluster_pod_cidr",
    "pod_node_prefix": "cluster_pod_node_prefix",
    "service_cidr": "cluster_service_cidr",
    "dns_domain": "cluster_dns_domain",
    "network_provider": "network_provider",
}


def all_ports() -> list[int]:
    return sorted({port for ports in PORTS.values() for port in ports})


def check(probes: dict[str, Probe], groups: dict[str, list[str]], values: dict[str, Settings]) -> list[Problem]:
    """All problems of the hosts. A host without a probe (unreachable) is left out."""
    roles: dict[str, list[str]] = {}
    for group in PORTS:
        for host in groups.get(group, ()):
            roles.setdefault(host, []).append(group)
    problems: list[Problem] = []
    clocks: dict[str, dict[str, Any]] = {CONTROLLER: {"offset": 0.0, "error": 0.0}}
    by_machine: dict[str, list[str]] = {}
    limit = 1.0
    for host, probe in probes.items():
        own, settings = roles.get(host, []), values.get(host, {})
        node = "control_plane" in own or "worker" in own
        problems += check_access(host, probe)
        problems += check_size(host, probe, own, settings)
        if node:
            problems += check_kernel(host, probe, settings)
        problems += check_address(host, probe, settings)
        problems += check_ports(host, probe, own, settings)
        problems += check_installed(host, probe, settings)
        by_machine.setdefault(probe.get("machine_id", ""), []).append(host)
        clocks[host] = probe["clock"]
        limit = float(settings.get("preflight_clock_skew_seconds", limit))
    problems += check_machine_ids(by_machine)
    problems += check_clocks(clocks, limit)
    return problems


def ours(probe: Probe, settings: Settings) -> bool:
    """Whether the host finished joining the cluster that the inventory describes."""
    record = probe["kubernetes"]["record"]
    return bool(record) and record.get("name") == settings.get("cluster_name")


def check_access(host: str, probe: Probe) -> Iterator[Problem]:
    if probe.get("uid", 0) != 0:
        yield Problem(host, f"connected as the user with uid {probe['uid']}", "root", "ansible_become or ansible_user")
    architecture = probe.get("architecture", ARCHITECTURES[0])
    if architecture not in ARCHITECTURES:
        yield Problem(host, f"the architecture is {architecture}", f"one of {', '.join(ARCHITECTURES)}", "the host")


def check_size(host: str, probe: Probe, roles: list[str], settings: Settings) -> Iterator[Problem]:
    memory = probe["memory_mib"]["limit"]
    for noun, seen, unit in (("memory", memory, " MiB"), ("cpus", probe["cpus"], "")):
        suffix = "memory_mib" if noun == "memory" else "cpus"
        limits = [(settings.get(f"preflight_{role}_{suffix}", 0), f"preflight_{role}_{suffix}") for role in roles]
        wanted, variable = max(limits, default=(0, ""))
        if seen < wanted:
            label = "memory" if noun == "memory" else "number of CPUs"
            yield Problem(host, f"the {label} is {seen}{unit}", f"at least {wanted}{unit}", variable)
    wanted = float(settings.get("preflight_disk_free_gib", 0)) * GIB
    if ours(probe, settings):
        # It has been filling its disk for as long as it lives; only what would break the run itself counts.
        wanted = min(wanted, FLOOR_FREE_MIB)
    reported = set()
    for directory, disk in probe["disks_mib"].items():
        if disk["free"] < wanted and disk["device"] not in reported:
            reported.add(disk["device"])
            seen = f"{disk['free'] / GIB:.1f} GiB are free for {directory}"
            yield Problem(host, seen, f"at least {wanted / GIB:.1f} GiB", "preflight_disk_free_gib")


def check_kernel(host: str, probe: Probe, settings: Settings) -> Iterator[Problem]:
    wanted = [*NODE_FEATURES, *(["vxlan"] if settings.get("network_provider") == "flannel" else [])]
    features = probe["kernel"]["features"]
    missing = [feature for feature in wanted if features.get(feature) == "no"]
    ignored = settings.get("preflight_ignored_kernel_features") or []
    missing = [feature for feature in missing if feature not in ignored]
    if missing:
        seen = f"kernel {probe['kernel']['release']} lacks {', '.join(missing)}"
        yield Problem(host, seen, "a kernel with them", "the kernel, or preflight_ignored_kernel_features")
    group = probe["cgroup"]
    if group["version"] != 2 and not settings.get("preflight_allow_cgroup_v1"):
        seen = f"cgroup version {group['version']}" if group["version"] else "no cgroups"
        yield Problem(host, seen, "version 2", "the host's boot options, or preflight_allow_cgroup_v1")
    lacking = [name for name in CGROUP_CONTROLLERS if name not in group["controllers"]]
    if lacking:
        seen = f"the cgroup controllers {', '.join(lacking)} are missing"
        yield Problem(host, seen, f"{', '.join(CGROUP_CONTROLLERS)}", "the host's boot options")


def check_address(host: str, probe: Probe, settings: Settings) -> Iterator[Problem]:
    own = [entry.split("/")[0] for interface in probe.get("interfaces", ()) for entry in interface["addresses"]]
    address = settings.get("cluster_node_address")
    if own and address and address not in own:
        seen = f"cluster_node_address {address} is not on the host"
        yield Problem(host, seen, f"one of {', '.join(own)}", "cluster_node_address")


def check_ports(host: str, probe: Probe, roles: list[str], settings: Settings) -> Iterator[Problem]:
    if ours(probe, settings):
        return
    ignored = {int(port) for port in settings.get("preflight_ignored_ports") or ()}
    wanted: dict[int, list[str]] = {}
    for role in roles:
        for port, owners in PORTS[role].items():
            wanted.setdefault(port, []).extend(owners)
    for listener in probe["listeners"]:
        port = listener["port"]
        if port not in wanted or port in ignored or listener["process"] in wanted[port]:
            continue
        owner = listener["process"] or "a process that is not visible"
        program = f" ({listener['program']})" if listener.get("program") else ""
        seen = f"port {port} on {listener['address']} is in use by {owner}{program}"
        yield Problem(host, seen, f"it free for {wanted[port][0]}", "the process, or preflight_ignored_ports")


def check_installed(host: str, probe: Probe, settings: Settings) -> Iterator[Problem]:
    """What a live node already is, against what it is to become."""
    state = probe["kubernetes"]
    record = dict(state["record"])
    if "network_provider" not in record and state["kubelet_conf"] and state["network_provider"]:
        record["network_provider"] = state["network_provider"]
    for key, variable in FIXED.items():
        if record.get(key) and settings.get(variable) is not None and record[key] != str(settings[variable]):
            seen = f"{variable} is {shown(str(settings[variable]))}"
            yield Problem(host, seen, f"'{record[key]}', which the node lives with and which cannot change", variable)
    versions = [record.get("kubernetes_version"), state["manifests"].get("kube-apiserver")]
    installed = max((parsed for parsed in map(version, versions) if parsed), default=None)
    wanted = version(settings.get("cluster_kubernetes_version"))
    if installed and wanted:
        seen = f"Kubernetes {dotted(installed)} is installed and {dotted(wanted)} is asked for, "
        if wanted < installed:
            why = f"at least {dotted(installed)}: Kubernetes cannot go back"
            yield Problem(host, f"{seen}a downgrade", why, "cluster_kubernetes_version")
        elif wanted[0] != installed[0] or wanted[1] > installed[1] + 1:
            why = f"{installed[0]}.{installed[1]} or {installed[0]}.{installed[1] + 1} first"
            yield Problem(host, f"{seen}more than one minor version apart", why, "cluster_kubernetes_version")
        elif wanted > installed:
            # Kubelets would restart with the new version before any API server has it, which Kubernetes does not allow.
            why = f"{dotted(installed)}: site.yml upgrades no live cluster"
            yield Problem(host, f"{seen}an upgrade", why, "cluster_kubernetes_version")


def check_machine_ids(by_machine: dict[str, list[str]]) -> Iterator[Problem]:
    for machine, hosts in by_machine.items():
        for host in hosts[1:] if machine else hosts:
            seen = f"the machine-id {machine} is also that of {hosts[0]}" if machine else "the machine-id is empty"
            wanted = "one of its own (systemd-machine-id-setup), or one inventory entry for each machine"
            yield Problem(host, seen, wanted, "/etc/machine-id or ansible_host")


def check_clocks(clocks: dict[str, dict[str, Any]], limit: float) -> Iterator[Problem]:
    for host, seconds in apart(clocks, limit).items():
        direction = "ahead of" if seconds > 0 else "behind"
        seen = f"the clock is {abs(seconds):.1f} s {direction} the others"
        yield Problem(
            host, seen, f"at most {limit:g} s apart", "the host's time synchronisation, or preflight_clock_skew_seconds"
        )


def version(value: Any) -> tuple[int, ...]:
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", str(value or ""))
    return tuple(int(part) for part in match.groups()) if match else ()


def dotted(parts: tuple[int, ...]) -> str:
    return ".".join(map(str, parts))
