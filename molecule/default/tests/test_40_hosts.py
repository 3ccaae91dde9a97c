# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts: only what must answer answers, services come back after a boot, nothing goes out into the world."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from cluster_tests.cluster import Cluster
from cluster_tests.evidence import Evidence

# Ports of everything that a node may run, whether it should answer or not, and a few that nothing uses.
SCANNED = sorted(
    {
        *(22, 25, 53, 80, 111, 179, 443, 1234, 2222, 2379, 2380, 2381, 4149, 4240, 5000, 5473, 6443, 6444, 7472, 8080),
        *(8081, 8404, 8443, 8472, 9090, 9091, 9099, 9100, 9153, 9402, 9898, 10010, 10248, 10249, 10250, 10251, 10252),
        *(10255, 10256, 10257, 10258, 10259, 20244, 30000, 31234, 32767, 50052),
    }
)
# The port table, said once more and by hand: what strangers may find open on the hosts of a group.
OPEN = {
    "etcd": {22, 2379, 2380},
    "control_plane": {22, 6443, 10250},
    "worker": {22, 10250},
    "mirror": {22, 5000, 8443},
}

SCAN = """
import selectors, socket, time
open_ports = []
selector = selectors.DefaultSelector()
for port in ARGUMENT["ports"]:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex((ARGUMENT["address"], port))
    selector.register(connection, selectors.EVENT_WRITE, port)
end = time.monotonic() + ARGUMENT.get("seconds", 3)
while selector.get_map() and time.monotonic() < end:
    for key, _ in selector.select(0.2):
        if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            open_ports.append(key.data)
        selector.unregister(key.fileobj)
print(json.dumps(sorted(open_ports)))
"""

# Listens on a port of its own, on all addresses, for as long as its standard input is open.
LISTEN = """
import socket, sys
server = socket.create_server(("", 1234))
print("listening", flush=True)
sys.stdin.read()
"""


def _scan(cluster: Cluster, scanner: str, target: str, wanted: set[int]) -> set[int]:
    """Return the open ports. Wanted ones that do not answer at once have more time: the machine may be busy."""
    address = str(cluster.inventory.value(target, "ansible_host"))
    found = set(cluster.nodes.python(scanner, SCAN, {"address": address, "ports": SCANNED}))
    late = {"address": address, "ports": sorted(wanted - found), "seconds": 20}
    return found | (set(cluster.nodes.python(scanner, SCAN, late)) if late["ports"] else set())


def test_only_ports_of_the_table_answer(cluster: Cluster, node: str) -> None:
    groups = [group for group in OPEN if node in cluster.inventory.hosts(group)]
    wanted = set().union(*(OPEN[group] for group in groups))
    assert _scan(cluster, cluster.inventory.hosts("mirror")[0], node, wanted) == wanted


def test_a_port_that_is_not_in_the_table_is_shut_although_something_listens(cluster: Cluster, node: str) -> None:
    """Without this the scan would also pass on a host whose firewall is open."""
    scanner = cluster.inventory.hosts("mirror")[0]
    with cluster.machines.running(node, ["python3", "-c", LISTEN]) as started:
        assert started == "listening"
        inside = cluster.nodes.python(node, SCAN, {"address": cluster.address(node), "ports": [1234]})
        outside = cluster.nodes.python(scanner, SCAN, {"address": cluster.address(node), "ports": [1234]})
    assert (inside, outside) == ([1234], [])


UNITS = {
    "etcd": ["etcd.service"],
    "control_plane": ["caravan-csr-approver.service", "containerd.service", "haproxy.service", "kubelet.service"],
    "worker": ["containerd.service", "haproxy.service", "kubelet.service"],
    "cluster": ["caravan-firewall.service", "systemd-journald.service"],
}


def test_services_are_enabled_and_run(cluster: Cluster, node: str) -> None:
    host = cluster.nodes.host(node)
    groups = [group for group in UNITS if node in cluster.inventory.hosts(group)]
    units = sorted({unit for group in groups for unit in UNITS[group]})
    stopped = [unit for unit in units if not host.service(unit).is_running]
    assert stopped == []
    shown = cluster.nodes.run(node, ["systemctl", "is-enabled", *units], check=False).stdout.split()
    assert dict(zip(units, shown)) == {unit: "static" if "journald" in unit else "enabled" for unit in units}


def test_no_unit_has_failed(cluster: Cluster, node: str) -> None:
    assert cluster.nodes.run(node, ["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""


def test_swap_is_off(cluster: Cluster, node: str) -> None:
    assert cluster.nodes.run(node, ["swapon", "--noheadings"], check=False).stdout == ""


class TestCutOff:
    """Everything came from the mirror: while the cluster was made, its nodes opened connections to each other only."""

    def test_no_connection_to_elsewhere(self, cluster: Cluster, evidence: Evidence) -> None:
        known = [
            ipaddress.ip_network(str(cluster.setting("local_machines_cidr"))),
            ipaddress.ip_network(str(cluster.setting("cluster_pod_cidr", "10.244.0.0/16"))),
            ipaddress.ip_network(str(cluster.setting("cluster_service_cidr", "10.96.0.0/16"))),
            ipaddress.ip_network("224.0.0.0/4"),
        ]
        packets = evidence.packets()
        # The watch would find nothing where it sees nothing: what every node must have done is there.
        nodes = {cluster.address(host) for host in cluster.inventory.hosts("control_plane", "worker")}
        for port in (8443, 5000):
            assert {packet.source for packet in packets if packet.port == port} >= nodes
        elsewhere = [
            packet
            for packet in packets
            if not any(ipaddress.ip_address(packet.destination) in network for network in known)
        ]
        assert elsewhere == []

    def test_no_name_was_asked_for_outside(self, cluster: Cluster, evidence: Evidence) -> None:
        assert [packet for packet in evidence.packets() if packet.port == 53] == []

    def test_containerd_has_no_way_past_the_mirror(self, cluster: Cluster, kubernetes_node: str) -> None:
        """A pull of something the mirror does not have must end there, and never fall back to upstream."""
        pull = ["crictl", "pull", "registry.k8s.io/absent:v1"]
        failed = cluster.nodes.run(kubernetes_node, pull, check=False, timeout=60)
        assert failed.code != 0
        # The mirror's answer; an attempt to reach upstream would end with a name that does not resolve.
        assert "code = NotFound" in failed.text


def test_sbom_names_what_was_installed(cluster: Cluster) -> None:
    path = Path(str(cluster.setting("artifacts_mirror_index")))
    index = json.loads(path.read_text())
    bill = json.loads(path.with_name("sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    named = {component["name"] for component in bill["components"]}
    wanted = {entry["path"] for entry in index["files"]} | {entry["repository"] for entry in index["images"]}
    assert wanted - named == set()
    # And what that was made from.
    assert any(component["type"] == "library" for component in bill["components"])
