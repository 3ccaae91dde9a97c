# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates are renewed with the API up, by hosts and by the playbook; a cluster that expired comes back.

Time cannot be moved here, so certificates are made that live for seconds or minutes.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from cluster_tests import prober
from cluster_tests.cluster import Cluster
from cluster_tests.prober import Prober
from cluster_tests.waiting import wait_until
from cryptography import x509

pytestmark = [pytest.mark.long, pytest.mark.journal("etcd", "kubelet", "caravan-csr-approver", "caravan-certificates")]

# Until the certificates of a cluster that is switched off meanwhile have ended.
SECONDS = 20
SERVED = {"etcd": 2379, "control_plane": 6443}
TIMER = "caravan-certificates"
LOCK = "/caravan/certificate-renewal"

# Runs on a host of the groups etcd and control_plane: certificates are made anew that live for some seconds from now on
# (and for five minutes before, as all of them do). Without names, all that there are.
SHORTEN = r"""
import base64, os, re, subprocess, sys
from dataclasses import replace
from datetime import datetime, timezone
sys.path.insert(0, "/usr/local/lib/caravan")
from caravan_certificates._certificates import config, leaves, listing
KUBEADM = "/usr/local/bin/kubeadm"
CERTIFICATES = ["admin.conf", "apiserver", "apiserver-kubelet-client", "front-proxy-client", "controller-manager.conf",
                "scheduler.conf"]
settings, seconds, names = config.load(), ARGUMENT["seconds"], ARGUMENT["names"]
site = replace(settings.site, days=seconds / 86400)
for leaf in leaves.on_host(settings.parts, site, datetime.now(timezone.utc)):
    if not names or listing.leaf_name(leaf) in names:
        leaves.renew(leaf, site, datetime.now(timezone.utc))
path = "/run/caravan-short.yml"
def run(*arguments):
    done = subprocess.run([KUBEADM, *arguments, "--config", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
def user(name, *groups):
    return run("kubeconfig", "user", "--client-name", name, *groups, "--validity-period", f"{seconds}s")
if "control_plane" in settings.parts:
    with open(settings.kubeadm) as file:
        text, count = re.subn(r"certificateValidityPeriod: .*", f"certificateValidityPeriod: {seconds}s", file.read())
    assert count == 1
    with open(path, "w") as file:
        file.write(text)
    for name in CERTIFICATES:
        if not names or name in names:
            run("certs", "renew", name)
    if not names:
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


def shorten(cluster: Cluster, host: str, seconds: int, names: Sequence[str] = ()) -> None:
    cluster.nodes.python(host, SHORTEN, {"seconds": seconds, "names": list(names)})


def listed(cluster: Cluster, host: str) -> dict[str, dict[str, str]]:
    """Return what a host says of its certificates, by name."""
    answer = cluster.nodes.run(host, ["caravan-certificates", "list", "--json"]).stdout
    return {entry["name"]: entry for entry in json.loads(answer)}


def renew(cluster: Cluster, hosts: Sequence[str]) -> None:
    """Start what the timers start, on all of the hosts at once."""
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(lambda host: cluster.nodes.run(host, ["systemctl", "start", TIMER], timeout=300), hosts))


def told(cluster: Cluster, host: str, since: float) -> list[tuple[float, str]]:
    """Return (time, text) of what the runs on a host have said."""
    command = ["journalctl", f"--unit={TIMER}", f"--since=@{since:.3f}", "--output=json", "_COMM=caravan-certifi"]
    entries = map(json.loads, cluster.nodes.run(host, command, check=False).stdout.splitlines())
    return [(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, entry["MESSAGE"]) for entry in entries]


def metrics(cluster: Cluster, host: str) -> dict[str, float]:
    """Return what a host tells Prometheus: by metric, and for those of one certificate by its name."""
    text = cluster.nodes.run(host, ["cat", "/var/lib/caravan/metrics/certificates.prom"]).stdout
    found = re.findall(r'^(\w+)\{(?:certificate="([^"]+)",)?.*\} (\S+)$', text, re.MULTILINE)
    return {certificate or metric: float(value) for metric, certificate, value in found if "_before_" not in metric}


def test_hosts_renew_what_is_due_one_after_another(cluster: Cluster) -> None:
    api = cluster.api()
    prober.prepare(api)
    due = dict(
        zip(
            cluster.inventory.hosts("control_plane"),
            [["etcd-server", "scheduler.conf"], ["etcd-peer", "apiserver-etcd-client", "controller-manager.conf"]],
        )
    )
    before = {host: listed(cluster, host) for host in due}
    for host, names in due.items():
        shorten(cluster, host, 120, names)
        assert [name for name, seen in listed(cluster, host).items() if seen["reason"]] == names
    began = time.time()
    # Another host has the lock.
    cluster.etcdctl(next(iter(due)), "put", LOCK, "elsewhere")
    renew(cluster, list(due))
    for host, names in due.items():
        ((_when, text),) = told(cluster, host, began)
        assert text == f"{', '.join(names)}: left for the next time, elsewhere is at it"
        assert metrics(cluster, host)["caravan_certificate_renewal_due"] == len(names)
    cluster.etcdctl(next(iter(due)), "del", LOCK)
    began = time.time()
    with Prober(prober.config_map_writer(api, timeout=5), prefix="timer", rate=5) as watch:
        renew(cluster, list(due))
        first = {host: told(cluster, host, began) for host in due}
        # The one that came second left it.
        renew(cluster, list(due))
    print(f"{first}, {len(watch.record.probes)} writes, errors {dict(watch.record.errors())}")
    assert watch.record.lost(prober.written(api)) == []
    assert watch.record.outage(watch.record.probes[0].started, watch.record.probes[-1].ended) <= 5
    prober.clean(api)
    spans = []
    for host, names in due.items():
        said = [(when, text) for when, text in told(cluster, host, began) if text.startswith("renewed ")]
        assert [text.split(":")[0] for _when, text in said] == [f"renewed {name}" for name in names]
        spans.append((said[0][0], said[-1][0]))
        after = listed(cluster, host)
        assert {name for name, seen in after.items() if seen["ends"] != before[host][name]["ends"]} == set(names)
        numbers = metrics(cluster, host)
        assert numbers["caravan_certificate_renewal_due"] == 0
        assert numbers["caravan_certificate_renewal_last_success_timestamp_seconds"] >= int(began)
        assert numbers["etcd-server"] == ends(cluster, host, SERVED["etcd"]).timestamp()
        assert numbers["etcd-server"] > time.time() + 300 * 86400
    (_begin, one), (two, _end) = sorted(spans)
    assert one < two
    again = {host: listed(cluster, host) for host in due}
    renew(cluster, list(due))
    assert {host: listed(cluster, host) for host in due} == again


def test_a_cluster_that_expired_while_it_was_off_comes_back_with_one_command(cluster: Cluster) -> None:
    machines = cluster.inventory.hosts("etcd", "control_plane")
    for host in machines:
        shorten(cluster, host, SECONDS)
    expired = datetime.now(timezone.utc) + timedelta(seconds=SECONDS + 2)
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
