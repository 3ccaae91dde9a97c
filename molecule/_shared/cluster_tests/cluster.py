# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster under test: its API from the controller, its members one by one, its health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .api import Api, Identity, Target, read_kubeconfig
from .inventory import Inventory
from .machines import Machines
from .playbooks import Playbooks
from .remote import Nodes
from .waiting import wait_until

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@dataclass(frozen=True)
class Cluster:
    """All doors to one cluster."""

    inventory: Inventory
    nodes: Nodes
    machines: Machines
    playbooks: Playbooks

    @property
    def any_host(self) -> str:
        return self.inventory.hosts("control_plane")[0]

    def setting(self, name: str, default: Any = None) -> Any:
        """Return a value that all hosts of the cluster share."""
        return self.inventory.value(self.any_host, name, default)

    @property
    def work_directory(self) -> Path:
        return Path(str(self.setting("cluster_work_dir")))

    @property
    def endpoint(self) -> str:
        return str(self.setting("cluster_endpoint"))

    @property
    def endpoint_address(self) -> str:
        """Return where clients reach the endpoint: its virtual address, or that of the load balancer before it."""
        return str(self.setting("api_endpoint_vip", "") or self.setting("api_endpoint_kubeconfig_address"))

    @property
    def endpoint_port(self) -> int:
        return int(self.setting("cluster_endpoint_port", 6443))

    def address(self, host: str) -> str:
        return str(self.inventory.value(host, "cluster_node_address", self.inventory.value(host, "ansible_host")))

    def node_name(self, host: str) -> str:
        """Return what Kubernetes calls the host; providers may want names of their own."""
        return str(self.inventory.value(host, "cluster_node_name", host))

    def kubeconfig(self) -> Identity:
        """Return what the kubeconfig on the controller says, with the endpoint's name resolved to its address."""
        path = self.work_directory / "kubeconfig"
        return read_kubeconfig(path, addresses={self.endpoint: self.endpoint_address})

    def api(self, *, anonymous: bool = False) -> Api:
        return self.kubeconfig().api(anonymous=anonymous)

    def member_api(self, host: str, *, anonymous: bool = False) -> Api:
        """Return the API server of one control-plane node, past every balancer."""
        identity = self.kubeconfig()
        target = Target(self.endpoint, self.address(host), self.endpoint_port)
        return Identity(target, identity.ca, identity.certificate, identity.key).api(anonymous=anonymous)

    def etcdctl(self, host: str, *arguments: str) -> str:
        """Run etcdctl on an etcd host, as root there does; return its output."""
        options = [
            *("--endpoints=https://127.0.0.1:2379", "--cacert=/etc/etcd/pki/ca.crt"),
            *("--cert=/etc/etcd/pki/client.crt", "--key=/etc/etcd/pki/client.key"),
        ]
        return self.nodes.run(host, ["etcdctl", *options, *arguments]).stdout

    def wait_healthy(self, why: str, *, heard_of: Iterable[str] = (), timeout: float = 240) -> float:
        """Wait until every API server, node and system pod is as it should be; return the seconds.

        `heard_of` are nodes whose kubelets must have reported after this call began: a node that went down a moment ago
        still counts as Ready.
        """
        begin = datetime.now(timezone.utc)
        heard = {self.node_name(host) for host in heard_of}
        members = {host: self.member_api(host) for host in self.inventory.hosts("control_plane")}
        endpoint = self.api()
        wanted = {self.node_name(host) for host in self.inventory.hosts("control_plane", "worker")}

        def look() -> tuple[bool, str]:
            problems = []
            for host, member in members.items():
                answer = member.request("GET", "/readyz", timeout=2, verbose="true")
                if answer.status != 200:
                    problems.append(f"API server of {host}: {failed_checks(answer.body)}")
            nodes = endpoint.request("GET", "/api/v1/nodes", timeout=3).json()["items"]
            problems += node_problems(nodes, wanted)
            if heard:
                leases = endpoint.request("GET", _LEASES, timeout=3).json()["items"]
                problems += [f"node {name}: not heard of" for name in sorted(heard - heard_since(leases, begin))]
            pods = endpoint.request("GET", "/api/v1/namespaces/kube-system/pods", timeout=3).json()["items"]
            problems += pod_problems(pods)
            return not problems, "; ".join(problems) or "all well"

        return wait_until(f"full health {why}", look, timeout, interval=0.5)


def failed_checks(body: str) -> str:
    """Return the failed lines of /readyz?verbose."""
    return ", ".join(line for line in body.splitlines() if line.startswith("[-]")) or body[:200]


def condition(item: Mapping[str, Any], name: str) -> str:
    """Return the status of an object's condition, or Missing."""
    conditions = item.get("status", {}).get("conditions", [])
    return next((str(entry["status"]) for entry in conditions if entry["type"] == name), "Missing")


def heard_since(leases: Iterable[Mapping[str, Any]], begin: datetime) -> set[str]:
    """Return the nodes whose leases were renewed after a moment."""
    return {
        lease["metadata"]["name"]
        for lease in leases
        if datetime.fromisoformat(lease["spec"]["renewTime"].replace("Z", "+00:00")) > begin
    }


def node_problems(nodes: Iterable[Mapping[str, Any]], wanted: set[str]) -> list[str]:
    """Return what is wrong with the Node objects: absent, surplus, or not Ready."""
    items = {node["metadata"]["name"]: node for node in nodes}
    problems = [f"node {name}: absent" for name in sorted(wanted - set(items))]
    problems += [f"node {name}: not in the inventory" for name in sorted(set(items) - wanted)]
    problems += [
        f"node {name}: Ready is {condition(node, 'Ready')}"
        for name, node in sorted(items.items())
        if condition(node, "Ready") != "True"
    ]
    return problems


def pod_problems(pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the pods that are not Ready (finished ones need not be)."""
    problems = []
    for pod in pods:
        phase = pod.get("status", {}).get("phase", "Unknown")
        if pod["metadata"].get("deletionTimestamp") or phase == "Succeeded":
            continue
        if condition(pod, "Ready") != "True":
            problems.append(f"pod {pod['metadata']['name']}: {phase}, Ready is {condition(pod, 'Ready')}")
    return problems
