# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test pods. Their image is kube-proxy's, which every node has already: a Debian base with perl, bash and getent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .api import Api
from .cluster import condition
from .waiting import wait_until

PORT = 8080

# Answers every connection with the pod's name.
_SERVER = f"""
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => {PORT}, Listen => 64, ReuseAddr => 1) or die $!;
$SIG{{TERM}} = sub {{ exit 0 }};
while (my $client = $server->accept) {{ print $client $ENV{{POD}}, "\\n"; close $client }}
"""

# Prints what a server says, or the reason why it says nothing.
_CLIENT = """
use IO::Socket::INET;
my ($host, $port, $seconds) = @ARGV;
my $server = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => $seconds);
if (!$server) { print "no: $@"; exit 0 }
alarm $seconds;
print "yes: ", scalar <$server>;
"""

# Asks the cluster's DNS one question and prints the answer's code and its first address. The query is built by hand, so
# that it is certain which transport was used.
_RESOLVE = r"""
use IO::Socket::INET;
my ($transport, $name) = @ARGV;
open my $file, '<', '/etc/resolv.conf' or die;
my ($server) = map { /^nameserver\s+(\S+)/ ? $1 : () } <$file>;
my $query = pack('n6', 4711, 0x0100, 1, 0, 0, 0) . pack('(C/a*)*', split(/\./, $name)) . pack('Cn2', 0, 1, 1);
my $socket = IO::Socket::INET->new(PeerAddr => $server, PeerPort => 53, Proto => $transport, Timeout => 3) or die "$@";
alarm 5;
print $socket ($transport eq 'tcp' ? pack('n', length $query) : '') . $query;
$socket->flush;
my $answer = '';
sysread $socket, $answer, 4096, length $answer
    while $transport eq 'tcp' ? length $answer < 2 || length $answer < 2 + unpack('n', $answer) : !length $answer;
$answer = substr $answer, 2 if $transport eq 'tcp';
my ($id, $flags, $questions, $answers) = unpack 'n4', $answer;
print 'code ', $flags & 15, ' address ', $answers ? join('.', unpack 'C4', substr $answer, -4) : 'none';
"""


@dataclass(frozen=True)
class Pods:
    """Pods of one namespace."""

    api: Api
    kubeconfig: Path
    namespace: str

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    @cached_property
    def image(self) -> str:
        daemon_set = self.api.get("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy")
        return str(daemon_set["spec"]["template"]["spec"]["containers"][0]["image"])

    def prepare(self) -> None:
        """Make the namespace, and wait for its service account, without which no pod is admitted."""
        self.api.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        wait_until(
            f"service account of {self.namespace}",
            lambda: (self.api.request("GET", f"{self.path}/serviceaccounts/default").status == 200, "absent"),
            60,
        )

    def remove(self) -> None:
        """Remove the namespace; it goes on leaving in the background."""
        self.api.delete(f"/api/v1/namespaces/{self.namespace}")

    def body(self, name: str, node: str, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return a server pod on one node that also meets the restricted Pod Security standard."""
        return {
            "metadata": {"name": name, "labels": dict(labels)},
            "spec": {
                "nodeName": node,
                "tolerations": [{"operator": "Exists"}],
                "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65534,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "server",
                        "image": self.image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["perl", "-e", _SERVER],
                        "env": [{"name": "POD", "value": name}],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                    }
                ],
            },
        }

    def start(self, name: str, node: str, labels: Mapping[str, str]) -> None:
        self.api.create(f"{self.path}/pods", self.body(name, node, labels))

    def wait_ready(self, names: Sequence[str], timeout: float = 120) -> dict[str, str]:
        """Wait until the pods are Ready; return their addresses."""
        addresses: dict[str, str] = {}

        def look() -> tuple[bool, str]:
            waiting = []
            for name in names:
                pod = self.api.get(f"{self.path}/pods/{name}")
                addresses[name] = pod["status"].get("podIP", "")
                if condition(pod, "Ready") != "True":
                    waiting.append(f"{name}: {pod['status'].get('containerStatuses', pod['status'].get('conditions'))}")
            return not waiting, "; ".join(waiting)

        wait_until("test pods Ready", look, timeout)
        return addresses

    def execute(self, pod: str, *command: str) -> str:
        """Run a command in a pod through API server and kubelet; return what it prints."""
        from kubernetes import config
        from kubernetes.client import CoreV1Api
        from kubernetes.stream import stream

        client = config.new_client_from_config(str(self.kubeconfig))
        return str(
            stream(
                CoreV1Api(client).connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                command=list(command),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _request_timeout=20,
            )
        )

    def log(self, pod: str) -> str:
        """Return a pod's log, which the API server fetches from the kubelet over verified TLS."""
        answer = self.api.request("GET", f"{self.path}/pods/{pod}/log")
        assert answer.status == 200, f"log of {pod}: {answer.status} {answer.body[:300]}"
        return answer.body

    def connect(self, source: str, host: str, port: int = PORT, *, seconds: int = 3) -> str:
        """Connect from a pod: `yes: <pod that answered>`, or `no: <reason>`; empty when nothing came in time."""
        return self.execute(source, "perl", "-e", _CLIENT, host, str(port), str(seconds)).strip()

    def resolve(self, source: str, transport: str, name: str) -> str:
        """Ask the cluster's DNS from a pod: `code 0 address 10.96.0.1`."""
        return self.execute(source, "perl", "-e", _RESOLVE, transport, name).strip()

    def resolves(self, source: str, transport: str, name: str, wanted: str, *, timeout: float = 60) -> None:
        """Wait until the cluster's DNS gives an answer that begins so. A new Service is not known at once."""

        def look() -> tuple[bool, str]:
            answer = self.resolve(source, transport, name)
            return answer.startswith(wanted), answer or "silence"

        wait_until(f"{source} resolves {name} over {transport} to {wanted}", look, timeout)

    def reaches(self, source: str, host: str, answer: str | None = None, *, timeout: float = 60) -> str:
        """Wait until a connection is answered (by the named pod); return the answer."""
        last = ""

        def look() -> tuple[bool, str]:
            nonlocal last
            last = self.connect(source, host)
            return last == f"yes: {answer}" if answer else last.startswith("yes: "), last or "silence"

        wait_until(f"{source} reaches {host}", look, timeout)
        return last

    def refused(self, source: str, host: str, *, timeout: float = 60) -> None:
        """Wait until a connection fails twice in a row."""
        failures = 0

        def look() -> tuple[bool, str]:
            nonlocal failures
            answer = self.connect(source, host, seconds=1)
            failures = 0 if answer.startswith("yes") else failures + 1
            return failures >= 2, answer or "silence"

        wait_until(f"{source} cannot reach {host}", look, timeout)
