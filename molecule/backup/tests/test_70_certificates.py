# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates are renewed with the API up; and a cluster whose certificates all expired while it was off comes back.

Time cannot be moved here, so certificates are made that live for minutes.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cluster_tests import prober
from cluster_tests.cluster import Cluster
from cluster_tests.prober import Prober
from cluster_tests.waiting import wait_until
from cryptography import x509

pytestmark = pytest.mark.journal("etcd", "kubelet", "caravan-csr-approver")

MINUTES = 2
SERVED = {"etcd": 2379, "control_plane": 6443}

# Runs on a control-plane node: everything that kubeadm and the kubelet made there is made anew, for minutes.
SHORTEN = r"""
import base64, os, re, subprocess
KUBEADM = "/usr/local/bin/kubeadm"
CERTIFICATES = ["admin.conf", "apiserver", "apiserver-kubelet-client", "front-proxy-client", "controller-manager.conf",
                "scheduler.conf"]
path = "/run/caravan-short.yml"
with open("/etc/kubernetes/caravan/kubeadm.yml") as file:
    config = file.read()
config, count = re.subn(r"certificateValidityPeriod: .*", f"certificateValidityPeriod: {ARGUMENT}m", config)
assert count == 1
with open(path, "w") as file:
    file.write(config)
def run(*arguments):
    done = subprocess.run([KUBEADM, *arguments, "--config", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
def user(name, *groups):
    return run("kubeconfig", "user", "--client-name", name, *groups, "--validity-period", f"{ARGUMENT}m")
for name in CERTIFICATES:
    run("certs", "renew", name)
kubelet = user("system:node:" + os.uname().nodename, "--org", "system:nodes")
pem = "".join(base64.b64decode(re.search(key + r"-data: (\S+)", kubelet).group(1)).decode()
              for key in ("client-certificate", "client-key"))
with open(os.path.realpath("/var/lib/kubelet/pki/kubelet-client-current.pem"), "w") as file:
    file.write(pem)
with open("/etc/kubernetes/caravan/csr-approver.conf", "w") as file:
    file.write(user("caravan:csr-approver"))
os.unlink(path)
print(json.dumps(True))
"""

# Runs on a node: the certificate that a port shows, whoever may have signed it.
SHOWN = """
import ssl
print(json.dumps(ssl.get_server_certificate((ARGUMENT[0], ARGUMENT[1]), timeout=10)))
"""

ETCD_LEAVES = """
- hosts: etcd:control_plane
  gather_facts: false
  become: true
  roles:
    - role: caravan.cluster.identity
      vars: {{identity_renew_leaves: true, identity_leaf_validity_days: {days}}}
"""


def ends(cluster: Cluster, host: str, port: int) -> datetime:
    """Return until when the certificate is valid that a host shows on a port."""
    address = "127.0.0.1" if port == SERVED["etcd"] else cluster.address(host)
    pem = cluster.nodes.python(host, SHOWN, [address, port])
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc


def all_ends(cluster: Cluster) -> dict[tuple[str, int], datetime]:
    return {
        (host, port): ends(cluster, host, port)
        for group, port in SERVED.items()
        for host in cluster.inventory.hosts(group)
    }


def test_where_nothing_is_due_nothing_is_renewed(cluster: Cluster) -> None:
    assert cluster.playbooks.run("renew_certificates").succeeded().changed() == {}


def test_everything_is_renewed_with_the_api_up(cluster: Cluster) -> None:
    api = cluster.api()
    prober.prepare(api)
    before = all_ends(cluster)
    with Prober(prober.config_map_writer(api, timeout=5), prefix="renewed", rate=5) as watch:
        run = cluster.playbooks.run("renew_certificates", arguments=("-e", "renew_certificates_all=true")).succeeded()
    print(f"renewed in {run.seconds:.0f} s, {len(watch.record.probes)} writes, errors {dict(watch.record.errors())}")
    assert watch.record.lost(prober.written(api)) == []
    assert watch.record.outage(watch.record.probes[0].started, watch.record.probes[-1].ended) <= 5
    prober.clean(api)
    after = all_ends(cluster)
    assert [place for place in before if after[place] <= before[place]] == []
    cluster.wait_healthy("after the renewal", timeout=60)


def test_a_cluster_that_expired_while_it_was_off_comes_back_with_one_command(cluster: Cluster, tmp_path: Path) -> None:
    machines = cluster.inventory.hosts("etcd", "control_plane")
    playbook = tmp_path / "leaves.yml"
    playbook.write_text(ETCD_LEAVES.format(days=MINUTES / 24 / 60))
    cluster.playbooks.run(playbook).succeeded()
    for host in cluster.inventory.hosts("control_plane"):
        cluster.nodes.python(host, SHORTEN, MINUTES)
    expired = datetime.now(timezone.utc) + timedelta(minutes=MINUTES, seconds=2)
    for host in machines:
        cluster.machines.kill(host)
        cluster.nodes.forget(host)
    time.sleep(max(0.0, (expired - datetime.now(timezone.utc)).total_seconds()))
    for host in machines:
        cluster.machines.start(host)
    wait_until("SSH", lambda: (all(_answers(cluster, host) for host in machines), "not yet"), 60)
    for host in cluster.inventory.hosts("control_plane"):
        # It does not even start, and no static pod without it.
        assert (
            not cluster.nodes.host(host).socket(f"tcp://{cluster.address(host)}:{SERVED['control_plane']}").is_listening
        )
    run = cluster.playbooks.run("renew_certificates").succeeded()
    print(f"brought back in {run.seconds:.0f} s")
    cluster.wait_healthy("after everything had expired", heard_of=machines, timeout=120)
    assert min(all_ends(cluster).values()) > datetime.now(timezone.utc) + timedelta(days=300)
    assert cluster.playbooks.run("renew_certificates").succeeded().changed() == {}
    assert cluster.playbooks.run("site").succeeded().changed() == {}


def _answers(cluster: Cluster, host: str) -> bool:
    return cluster.nodes.run(host, ["true"], check=False, timeout=10).code == 0
