# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a cluster that is as it should be: they change nothing and give nothing away."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from cluster_tests.cluster import Cluster
from cluster_tests.evidence import Evidence
from cluster_tests.secrets import COLLECT_SCRIPT, SEARCH_SCRIPT, Needle, leaks, needles, shapes
from cluster_tests.state import differences, snapshot
from cluster_tests.watch import CommandLines, Connections

PRIVATE = ["/etc/kubernetes", "/etc/etcd", "/var/lib/kubelet/pki", "/etc/keepalived", "/etc/caravan"]
PUBLIC = ["/tmp", "/var/tmp", "/run", "/dev/shm", "/root/.ansible", "/var/log"]


def test_check_mode_on_the_live_cluster(cluster: Cluster) -> None:
    hosts = cluster.inventory.hosts("etcd", "control_plane", "worker")
    run = cluster.playbooks.run("site", arguments=("--check", "--diff")).succeeded()
    assert run.changed() == {}
    assert set(run.report["hosts"]) >= set(hosts)


def test_another_run_changes_nothing_and_restarts_nothing(cluster: Cluster, evidence: Evidence) -> None:
    hosts = cluster.inventory.hosts("etcd", "control_plane", "worker")
    units = ["containerd", "kubelet", "haproxy", "etcd", "caravan-firewall"]
    started = ["systemctl", "show", "--property=Id,MainPID,ExecMainStartTimestampMonotonic", *units]
    before = {host: (cluster.nodes.run(host, started).stdout, _files(cluster, host)) for host in hosts}
    with CommandLines() as processes, Connections(cluster.machines.bridge()) as connections:
        run = cluster.playbooks.run("site", arguments=("-vvv", "--diff"))
    evidence.keep("another run", run.output, processes.seen, connections.packets)
    run.succeeded()
    assert run.changed() == {}
    after = {host: (cluster.nodes.run(host, started).stdout, _files(cluster, host)) for host in hosts}
    assert {host: after[host][0] for host in hosts} == {host: before[host][0] for host in hosts}
    assert {host: differences(before[host][1], after[host][1]) for host in hosts} == {host: [] for host in hosts}


def _files(cluster: Cluster, host: str) -> dict[str, str]:
    """Return the host's own files: not what Kubernetes and etcd write all the time."""
    return {
        thing: state
        for thing, state in snapshot(cluster.nodes, host).items()
        if thing.startswith("file ") and not thing.startswith("file /var/lib/")
    }


@pytest.fixture(scope="module")
def secrets(cluster: Cluster) -> set[Needle]:
    """Pieces of everything that is private on the nodes and on the controller."""
    found: set[Needle] = set()
    for host in cluster.inventory.hosts("etcd", "control_plane", "worker"):
        for path, content in cluster.nodes.python(host, COLLECT_SCRIPT, PRIVATE).items():
            found |= needles(f"{host}:{path}", content)
    for path in [cluster.work_directory / "kubeconfig", *cluster.work_directory.glob("**/*.key")]:
        found |= needles(str(path), path.read_text())
    sources = {needle.source.split(":")[-1] for needle in found}
    # The search would find nothing in nothing: what must be there is named.
    for wanted in (
        "/etc/kubernetes/pki/ca.key",
        "/etc/kubernetes/pki/sa.key",
        "/etc/kubernetes/encryption.yml",
        "/etc/etcd/pki/peer.key",
        str(cluster.work_directory / "kubeconfig"),
    ):
        assert wanted in sources
    return found


class TestNoSecretIsSeen:
    """After runs with -vvv --diff: the interrupted first ones, in which secrets were made, and one more."""

    def test_in_output_and_process_arguments(self, evidence: Evidence, secrets: set[Needle]) -> None:
        texts = evidence.texts()
        assert any(name.endswith(".processes") and content for name, content in texts.items())
        assert any(name.endswith(".output") and "TASK [" in content for name, content in texts.items())
        assert leaks(texts, secrets) == []
        assert shapes(texts) == []

    def test_in_reports_and_other_files_of_the_controller(self, cluster: Cluster, secrets: set[Needle]) -> None:
        work = cluster.work_directory
        private = {work / "kubeconfig", *work.glob("**/*.key"), *work.glob("ssh/**/*"), *work.glob("evidence/*")}
        files = [path for path in work.glob("**/*") if path.is_file() and path not in private]
        assert any(path.parent.name == "reports" for path in files)
        for top in (Path(tempfile.gettempdir()), Path.home() / ".ansible" / "tmp"):
            files += [path for path in top.glob("ansible*/**/*") if path.is_file()]
        texts = {}
        for path in files:
            # Other runs of Ansible on this machine come and go.
            with contextlib.suppress(FileNotFoundError):
                texts[str(path)] = path.read_text(errors="replace")
        assert leaks(texts, secrets) == []

    def test_in_files_that_a_node_keeps_for_a_while(self, cluster: Cluster, secrets: set[Needle], node: str) -> None:
        ordered = sorted(secrets, key=lambda needle: (needle.source, needle.value))
        argument = {"directories": PUBLIC, "needles": [needle.value for needle in ordered]}
        found = cluster.nodes.python(node, SEARCH_SCRIPT, argument)
        # systemd hands a unit its credentials in memory that only the unit can read.
        leaked = [f"{path}: {ordered[number].source}" for path, number in found if "/run/credentials/" not in path]
        assert leaked == []

    def test_in_the_journal(self, cluster: Cluster, secrets: set[Needle], node: str) -> None:
        journal = cluster.nodes.run(node, ["journalctl", "--no-pager", "--output=cat"], timeout=60).stdout
        assert leaks({f"journal of {node}": journal}, secrets) == []
        assert shapes({f"journal of {node}": journal}) == []


class TestTampering:
    """A file that is not what the index says is refused by name, and nothing of it is installed."""

    PLAYBOOK = """
- hosts: {host}
  gather_facts: false
  tasks:
    - caravan.cluster.artifacts:
        install: [{{name: crictl, version: "{version}", members: {{crictl: /usr/local/bin/crictl-tampered}}}}]
"""

    def test_a_file(self, cluster: Cluster, worker_node: str, tmp_path: Path) -> None:
        index = json.loads(Path(str(cluster.setting("artifacts_mirror_index"))).read_text())
        entry = next(entry for entry in index["files"] if entry["name"] == "crictl")
        wanted = "0" * 64
        seen, entry["sha256"] = entry["sha256"], wanted
        altered = tmp_path / "index.json"
        altered.write_text(json.dumps(index))
        playbook = tmp_path / "tampered.yml"
        playbook.write_text(self.PLAYBOOK.format(host=worker_node, version=entry["version"]))
        run = cluster.playbooks.run(playbook, arguments=("-e", f"artifacts_mirror_index={altered}"))
        assert run.code == 2, run.tail()
        for said in ("crictl", seen, wanted):
            assert said in run.output
        assert not cluster.nodes.host(worker_node).file("/usr/local/bin/crictl-tampered").exists

    def test_an_image(self, cluster: Cluster, worker_node: str, tmp_path: Path) -> None:
        index = json.loads(Path(str(cluster.setting("artifacts_mirror_index"))).read_text())
        entry = next(entry for entry in index["images"] if entry["name"] == "pause")
        entry["digest"] = "sha256:" + "0" * 64
        altered = tmp_path / "index.json"
        altered.write_text(json.dumps(index))
        playbook = tmp_path / "tampered.yml"
        playbook.write_text(
            f"- hosts: {worker_node}\n  gather_facts: false\n  tasks:\n    - caravan.cluster.images:\n"
            f"        images: [{{name: pause, version: '{entry['version']}'}}]\n"
        )
        run = cluster.playbooks.run(playbook, arguments=("-e", f"artifacts_mirror_index={altered}"))
        assert run.code == 2, run.tail()
        assert "pause" in run.output


def test_no_process_of_a_dead_run_is_left(cluster: Cluster, node: str) -> None:
    """Runs were killed; whatever they had started on the node must have ended by itself."""
    left = cluster.nodes.run(node, ["pgrep", "-af", "kubeadm (init|join)|AnsiballZ"], check=False)
    assert left.stdout == ""


def test_ansible_leaves_nothing_in_its_temporary_folder(cluster: Cluster, node: str) -> None:
    listed = cluster.nodes.run(node, ["ls", "-A", "/root/.ansible/tmp"], check=False)
    assert listed.stdout == ""
