# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role preflight and the report callback, in real ansible-playbook runs on made-up inventories.

Hosts are reached through a program in ssh's place that only leaves a mark: a test can tell that nobody was contacted.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
ANSIBLE_PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
PREFLIGHT = """
- name: Check
  hosts: cluster
  gather_facts: false
  roles: [caravan.cluster.preflight]

- name: Touch
  hosts: cluster
  gather_facts: false
  tasks:
    - name: Touch
      ansible.builtin.file:
        path: "{{ touched }}"
        state: touch
        mode: "0600"
"""


@dataclass
class Site:
    directory: Path
    hosts: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "cp1": {"ansible_host": "192.0.2.11"},
            "worker1": {"ansible_host": "192.0.2.21"},
        }
    )
    groups: dict[str, list[str]] = field(
        default_factory=lambda: {"etcd": ["cp1"], "control_plane": ["cp1"], "worker": ["worker1"]}
    )
    variables: dict[str, Any] = field(
        default_factory=lambda: {
            "cluster_name": "production",
            "cluster_endpoint": "api.example.org",
            "cluster_node_cidrs": ["192.0.2.0/24"],
            "etcd_backup_enabled": False,
        }
    )

    @property
    def contacted(self) -> Path:
        return self.directory / "contacted"

    @property
    def touched(self) -> Path:
        return self.directory / "touched"

    def run(self, *arguments: str, playbook: str = PREFLIGHT, **environment: str) -> subprocess.CompletedProcess[str]:
        ssh = self.directory / "ssh"
        ssh.write_text(f"#!/bin/sh\necho contacted >> {self.contacted}\nexit 255\n")
        ssh.chmod(0o755)
        inventory = self.directory / "site"
        inventory.mkdir(exist_ok=True)
        variables = {"ansible_ssh_executable": str(ssh), "touched": str(self.touched), **self.variables}
        children: dict[str, Any] = {
            name: {"hosts": {host: {} for host in hosts}} for name, hosts in self.groups.items()
        }
        content = {"all": {"children": {"cluster": {"hosts": self.hosts, "vars": variables, "children": children}}}}
        (inventory / "hosts.json").write_text(json.dumps(content))
        (self.directory / "play.yml").write_text(playbook)
        return subprocess.run(
            [str(ANSIBLE_PLAYBOOK), "-i", str(inventory), str(self.directory / "play.yml"), *arguments],
            cwd=self.directory,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".caravan/collections"),
                "PWD": str(self.directory),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def spoil(site: Site) -> None:
    """One inventory with about everything wrong that can be wrong at the same time."""
    site.hosts.update(
        {
            "cp2": {"ansible_host": "192.0.2.11", "cluster_cgroup_driver": "sytemd"},
            "worker2": {"ansible_host": "192.0.2.22", "cluster_node_name": "worker1"},
            "worker3": {"ansible_host": "192.0.2.23", "cluster_node_name": "Worker3"},
            "worker4": {"ansible_host": "192.0.2.24", "cluster_node_name": "wörker4"},
            "worker5": {"ansible_host": "198.51.100.1"},
        }
    )
    site.groups.update(etcd=["cp1", "cp2"], worker=[f"worker{number}" for number in range(1, 6)])
    site.variables.update(
        clutser_dns_domain="x.org",
        cluster_colour="red",
        cluster_endpoint_port="https",
        cluster_endpoint="192.0.2.100",
        cluster_kubernetes_version="1.12.0",
        cluster_pod_cidr="192.0.0.0/22",
        cluster_dns_domain="{{ nowhere }}",
        artifacts_source="mirror",
        artifacts_mirror_url="https://127.0.0.1:1",
        artifacts_registry="127.0.0.1:1",
    )


# What was seen, and what is said about it.
EXPECTED = {
    "all 7 hosts: clutser_dns_domain": "wanted cluster_dns_domain; change clutser_dns_domain to cluster_dns_domain",
    "all 7 hosts: cluster_colour": "name it in preflight_ignored_variables",
    "all 7 hosts: cluster_endpoint_port is 'https'": "wanted a whole number; change cluster_endpoint_port",
    "all 7 hosts: cluster_dns_domain": "('nowhere' is undefined); wanted a value; change cluster_dns_domain",
    "cp2: cluster_cgroup_driver is 'sytemd'": "wanted one of systemd, cgroupfs (systemd?); change",
    "inventory: 2 etcd members (cp1, cp2)": "wanted 1, 3 or 5",
    "inventory: cluster_endpoint is '192.0.2.100'": "wanted a DNS name",
    "inventory: cluster_kubernetes_version is '1.12.0'": "change cluster_kubernetes_version",
    "inventory: cluster_pod_cidr 192.0.0.0/22 and cluster_node_cidrs 192.0.2.0/24 overlap": "change cluster_pod_cidr",
    "inventory: cluster_pod_cidr 192.0.0.0/22 has room for 4 nodes": "wanted room for 6; change cluster_pod_cidr",
    "cp2: cluster_node_address 192.0.2.11 is also that of cp1": "change ansible_host or cluster_node_address",
    "worker2: cluster_node_name worker1 is also that of worker1": "change cluster_node_name",
    "worker3: cluster_node_name is 'Worker3'": "wanted lower case: 'worker3'",
    "worker4: cluster_node_name is 'wörker4'": "wanted ASCII letters",
    "worker5: cluster_node_address is 198.51.100.1": "wanted an IP address in 192.0.2.0/24; change cluster_node",
    "mirror: https://127.0.0.1:1 does not answer": "wanted a mirror that answers over TLS",
}


def test_a_bad_inventory_is_refused_in_one_failure_before_any_host_is_contacted(site: Site) -> None:
    spoil(site)
    done = site.run()
    assert done.returncode == 2, done.stdout + done.stderr
    assert not site.contacted.exists(), "a host was contacted"
    assert not site.touched.exists(), "the next play ran"
    assert done.stdout.count("FAILED!") == 1
    assert "Nothing was changed on any host" in done.stdout
    for seen, said in EXPECTED.items():
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"  {seen}")]
        assert lines, f"{seen} is not in {done.stdout}"
        assert all(said in line for line in lines), lines


def test_what_is_missing_is_named(site: Site) -> None:
    site.variables = {}
    done = site.run()
    assert done.returncode == 2
    for name in ("cluster_name", "cluster_endpoint", "cluster_node_cidrs"):
        assert f"inventory: {name} is not set" in done.stdout
    assert not site.contacted.exists()


def test_secrets_are_not_shown(site: Site) -> None:
    site.variables.update(cluster_pod_node_prefix="{{ etcd_token }}", etcd_token={"a": "hunter2"})
    done = site.run("-vvv")
    assert done.returncode == 2
    assert "cluster_pod_node_prefix is a dictionary with the keys a" in done.stdout
    assert "hunter2" not in done.stdout


def test_unreachable_hosts_do_not_stop_the_others(site: Site) -> None:
    site.hosts["cp1"].update(ansible_connection="local", ansible_python_interpreter=sys.executable)
    fit(site)
    done = site.run()
    assert done.returncode == 4, done.stdout
    assert site.contacted.exists()
    assert site.touched.exists()
    assert re.search(r"^changed +cp1$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^unreachable +worker1$", done.stdout, re.MULTILINE)


def fit(site: Site) -> None:
    """Makes this machine a fit host, whatever it is."""
    site.variables.update(
        preflight_allow_cgroup_v1=True,
        preflight_disk_free_gib=0,
        preflight_control_plane_memory_mib=0,
        preflight_control_plane_cpus=0,
        preflight_ignored_ports=[2379, 2380, 6443, 10249, 10250, 10256, 10257, 10259],
        preflight_ignored_kernel_features=[
            "overlay",
            "bridge",
            "br_netfilter",
            "nf_tables",
            "vxlan",
            "conntrack",
            "veth",
        ],
        cluster_node_cidrs=["0.0.0.0/5", "192.0.0.0/8", "172.0.0.0/8", "10.0.0.0/9"],
        cluster_pod_cidr="100.64.0.0/16",
        cluster_service_cidr="100.96.0.0/16",
    )
    address = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()[0]
    site.hosts["cp1"]["cluster_node_address"] = address


def test_an_unfit_host_stops_the_run_for_all(site: Site) -> None:
    for host in site.hosts.values():
        host.update(ansible_connection="local", ansible_python_interpreter=sys.executable)
    fit(site)
    site.variables.update(preflight_control_plane_memory_mib=10**9)
    done = site.run()
    assert done.returncode == 2, done.stdout
    assert re.search(
        r"cp1: the memory is \d+ MiB; wanted at least 1000000000 MiB; change preflight_control", done.stdout
    )
    # Two entries for one machine: this one.
    assert "worker1: the machine-id" in done.stdout
    assert not site.touched.exists(), "the next play ran"


@pytest.mark.parametrize("arguments", [(), ("--check", "--diff")])
def test_a_good_host_passes_and_its_facts_are_there(site: Site, arguments: tuple[str, ...]) -> None:
    site.hosts = {"cp1": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    site.groups["worker"] = []
    fit(site)
    facts = """
- name: Check
  hosts: cluster
  gather_facts: false
  roles: [caravan.cluster.preflight]
  post_tasks:
    - name: Show
      ansible.builtin.debug:
        msg: "{{ ansible_facts['distribution'] }}-{{ ansible_facts['os_family'] }}-{{ ansible_facts['architecture'] }}."
"""
    done = site.run(*arguments, playbook=facts)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r'"msg": "\w+-\w+-\w+\."', done.stdout)
    assert "changed=0" in done.stdout


# -- the report --------------------------------------------------------------------------------

PHASES = """
- name: First
  hosts: cluster
  gather_facts: false
  tasks:
    - name: Nothing
      ansible.builtin.command: "true"
      changed_when: false
    - name: A secret
      ansible.builtin.copy:
        content: "hunter2"
        dest: "{{ touched }}"
        mode: "0600"
      notify: told
    - name: Slow
      ansible.builtin.command: sleep {{ item }}
      changed_when: false
      loop: [0.8, 0.8]
  handlers:
    - name: told
      ansible.builtin.command: "true"

- name: Second
  hosts: cluster
  gather_facts: false
  tasks:
    - name: Fail
      ansible.builtin.fail:
        msg: "line one\\nline two"
      when: broken | default(false) | bool
"""


@pytest.fixture
def local(site: Site) -> Site:
    site.hosts = {"cp1": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    site.groups["worker"] = []
    return site


def test_a_run_is_told_and_recorded(local: Site) -> None:
    done = local.run(playbook=PHASES, CARAVAN_REPORT_HEARTBEAT="0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "[1/2] First" in lines and "[2/2] Second" in lines
    assert any(re.fullmatch(r"  A secret: changed on cp1; [\d.]+ s", line) for line in lines)
    assert any(re.fullmatch(r"  handler: told: changed on cp1; [\d.]+ s", line) for line in lines)
    assert any(re.match(r"  \.\.\. Slow: [\d.]+ s", line) and line.endswith("waiting for cp1") for line in lines)
    told = [line for line in lines if not line.startswith("  ... ")]
    assert not any("Nothing" in line for line in told), "a task that changed nothing needs no line"
    assert "\x1b" not in done.stdout and "\r" not in done.stdout, "no cursor tricks where there is no terminal"

    (path,) = (local.directory / ".caravan/site/reports").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "hunter2" not in path.read_text()
    document = json.loads(path.read_text())
    assert document["result"] == "ok" and document["changed"] == 2 and document["playbooks"] == ["play"]
    assert document["hosts"]["cp1"]["changed"] == 2
    assert [phase["name"] for phase in document["phases"]] == ["First", "Second"]
    slow = next(task for task in document["phases"][0]["tasks"] if task["name"] == "Slow")
    assert len(slow["items"]) == 2 and slow["seconds"] >= 1.6

    again = local.run(playbook=PHASES, CARAVAN_REPORT_HEARTBEAT="0.5")
    assert re.search(r"^\[1/2\] First \(last time [\d.]+ s\)", again.stdout, re.MULTILINE)
    assert re.search(r"\.\.\. Slow: [\d.]+ s \(last time [\d.]+ s\)", again.stdout)


def test_several_playbooks_are_one_run(local: Site) -> None:
    second = local.directory / "site.yml"
    second.write_text(PHASES.replace("First", "Third").replace("Second", "Fourth"))
    done = local.run(str(second), playbook=PHASES)
    assert done.returncode == 0
    assert done.stdout.count("PLAY RECAP") == 1
    assert re.search(r"^kubeconfig +\S+/.caravan/site/kubeconfig$", done.stdout, re.MULTILINE)
    (path,) = (local.directory / ".caravan/site/reports").iterdir()
    assert path.name.endswith("-play-site.json")
    phases = [(phase["playbook"], phase["name"]) for phase in json.loads(path.read_text())["phases"]]
    assert phases == [("play", "First"), ("play", "Second"), ("site", "Third"), ("site", "Fourth")]


def test_a_failure_is_shown_in_full(local: Site) -> None:
    done = local.run("-e", "broken=true", playbook=PHASES)
    assert done.returncode == 2
    assert "line one\nline two" in done.stdout
    assert re.search(r"^failed +cp1$", done.stdout, re.MULTILINE)
    (path,) = (local.directory / ".caravan/site/reports").iterdir()
    assert json.loads(path.read_text())["result"] == "failed"


def test_verbose_output_is_that_of_ansible(local: Site) -> None:
    done = local.run("-v", playbook=PHASES)
    assert "TASK [Nothing]" in done.stdout and "ok: [cp1] => {" in done.stdout


def test_an_interrupted_run_is_recorded(local: Site) -> None:
    local.run("--syntax-check", playbook=PHASES.replace("0.8, 0.8", "30"))
    process = subprocess.Popen(
        [str(ANSIBLE_PLAYBOOK), "-i", str(local.directory / "site"), str(local.directory / "play.yml")],
        cwd=local.directory,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PWD": str(local.directory)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not local.touched.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, 2)
    process.wait(30)
    (path,) = (local.directory / ".caravan/site/reports").iterdir()
    assert json.loads(path.read_text())["result"] == "interrupted"
