# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real node containers, by playbooks/provision.yml, as a user's inventory describes them.

An inventory of its own name and network, so that it gets along with whatever else runs on this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
NAME = "test_local_machines"
PREFIX = "10.98.90"
HOSTS = {"mirror1": f"{PREFIX}.10", "cp1": f"{PREFIX}.11", "worker1": f"{PREFIX}.21"}
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{REPOSITORY}/.caravan/venv/bin:{os.environ['PATH']}",
    "PWD": str(REPOSITORY),
    "CONTAINERS_CONF": str(REPOSITORY / "roles/local_machines/files/containers.conf"),
    "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
}


def run(*argv: str, check: bool = True, project: Path = REPOSITORY) -> str:
    environment = {**ENVIRONMENT, "PWD": str(project)}
    done = subprocess.run(argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{argv} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


class Provision:
    """playbooks/provision.yml with the test's inventory, as if started in the directory of a project."""

    def __init__(self, inventory: Path, project: Path = REPOSITORY) -> None:
        self.inventory = inventory
        self.project = project

    def __call__(self, *arguments: str, check: bool = True) -> dict:
        command = ["ansible-playbook", "-i", str(self.inventory), "playbooks/provision.yml", *arguments]
        out = run(*command, check=check, project=self.project)
        result = json.loads(out[out.index("{") :])
        tasks = [task["hosts"]["localhost"] for play in result["plays"] for task in play["tasks"]]
        return {"stats": result["stats"]["localhost"], "tasks": tasks, "last": tasks[-1]}

    def remove(self, *arguments: str, check: bool = True) -> dict:
        consent = ["-e", "local_machines_state=absent", "-e", f"local_machines_consent={NAME}"]
        return self(*consent, *arguments, check=check)


def leftovers(name: str = NAME) -> dict[str, str]:
    label = f"--filter=label=caravan.inventory={name}"
    return {
        "containers": run("podman", "ps", "--all", "--quiet", label),
        "volumes": run("podman", "volume", "ls", "--quiet", label),
        "networks": run("podman", "network", "ls", "--quiet", label),
        "bridge": run("ip", "-brief", "address", "show", "to", f"{PREFIX}.0/24") if name == NAME else "",
    }


def make_inventory(path: Path, prefix: str) -> Path:
    """One like inventories/local, of another name and network."""
    shutil.copytree(REPOSITORY / "inventories/local", path)
    hosts = path / "hosts.yml"
    text = hosts.read_text().replace("10.98.0.", f"{prefix}.")
    hosts.write_text(text.replace("local_machines_name: local\n", f"local_machines_name: {path.name}\n"))
    return path


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provision]:
    provision = Provision(make_inventory(tmp_path_factory.mktemp("inventory") / NAME, PREFIX))
    # What a killed run of these tests has left, and what a failed test leaves.
    if any(leftovers().values()):
        provision.remove()
    provision()
    yield provision
    if any(leftovers().values()):
        provision.remove()
    shutil.rmtree(REPOSITORY / ".caravan" / NAME, ignore_errors=True)


@pytest.fixture(scope="module")
def on(provision: Provision) -> Callable[..., subprocess.CompletedProcess]:
    """Run a command on a machine over SSH, as Ansible would connect: with the checked host key only."""
    directory = REPOSITORY / ".caravan" / NAME / "ssh"

    def command(host: str, line: str) -> subprocess.CompletedProcess:
        options = (
            f"IdentityFile={directory}/id_ed25519",
            f"UserKnownHostsFile={directory}/known_hosts",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "ConnectTimeout=5",
        )
        argv = ["ssh", *(f"-o{option}" for option in options), f"root@{HOSTS[host]}", line]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    return command


def wait_for_ssh(on: Callable[..., subprocess.CompletedProcess], host: str) -> None:
    deadline = time.monotonic() + 90
    while (seen := on(host, "true")).returncode != 0:
        assert time.monotonic() < deadline, f"{host} does not come back: {seen.stderr}"
        time.sleep(0.2)


@pytest.mark.parametrize("host", HOSTS)
def test_a_machine_is_up_without_a_failed_unit(on: Callable[..., subprocess.CompletedProcess], host: str) -> None:
    seen = on(host, "systemctl is-system-running --wait; systemctl --failed --no-legend; hostname")
    assert seen.stdout.split() == ["running", host], seen.stdout + seen.stderr


def test_machines_have_identities_of_their_own(on: Callable[..., subprocess.CompletedProcess]) -> None:
    seen = [on(host, "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub").stdout for host in HOSTS]
    assert all(seen)
    assert len(set(seen)) == len(HOSTS)


def test_keys_are_for_their_owner_only(provision: Provision) -> None:
    work = REPOSITORY / ".caravan" / NAME
    private = [work / "ssh/id_ed25519", *(work / "ssh/hosts" / host for host in HOSTS)]
    assert {oct(path.stat().st_mode & 0o777) for path in private} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in (work, work / "ssh", work / "ssh/hosts")} == {"0o700"}


def test_a_second_run_changes_nothing(provision: Provision) -> None:
    assert provision()["stats"]["changed"] == 0
    assert provision("--check", "--diff")["stats"]["changed"] == 0


def test_machines_reach_one_another(on: Callable[..., subprocess.CompletedProcess]) -> None:
    assert on("cp1", f"ping -c1 -W2 {HOSTS['worker1']}").returncode == 0
    assert on("cp1", f"getent hosts mirror.{NAME.replace('_', '-')}.caravan.test").stdout.split()[0] == HOSTS["mirror1"]


# Addresses of a public resolver, and of documentation: neither answers to a machine without a way out.
@pytest.mark.parametrize("address", ["1.1.1.1", "192.0.2.1", "198.51.100.1"])
def test_machines_reach_nothing_else(on: Callable[..., subprocess.CompletedProcess], address: str) -> None:
    assert on("cp1", f"timeout 4 bash -c '</dev/tcp/{address}/443'").returncode != 0
    assert on("cp1", f"ping -c1 -W1 {address}").returncode != 0


def test_machines_have_no_name_server(on: Callable[..., subprocess.CompletedProcess]) -> None:
    seen = on("cp1", "cat /etc/resolv.conf")
    assert "nameserver" not in seen.stdout
    assert "search" not in seen.stdout
    assert on("cp1", "getent hosts deb.debian.org").returncode != 0


def test_the_mirror_is_read_only(on: Callable[..., subprocess.CompletedProcess]) -> None:
    assert on("mirror1", "test -d /srv/mirror && ! touch /srv/mirror/x").returncode == 0


def test_a_reboot_keeps_address_keys_and_data(on: Callable[..., subprocess.CompletedProcess]) -> None:
    assert on("cp1", "echo kept | tee /var/lib/etcd/kept /etc/kept").returncode == 0
    before = on("cp1", "cat /etc/machine-id /etc/hosts").stdout
    run("podman", "restart", f"caravan-{NAME}-cp1")
    wait_for_ssh(on, "cp1")
    assert on("cp1", "systemctl is-system-running --wait").stdout.strip() == "running"
    assert on("cp1", "cat /etc/machine-id /etc/hosts").stdout == before
    assert on("cp1", "cat /var/lib/etcd/kept /etc/kept").stdout == "kept\nkept\n"
    assert on("cp1", f"ping -c1 -W2 {HOSTS['worker1']}").returncode == 0


def test_machines_that_stopped_are_started(
    provision: Provision, on: Callable[..., subprocess.CompletedProcess]
) -> None:
    names = [f"caravan-{NAME}-{host}" for host in HOSTS]
    run("podman", "stop", "--time=2", *names)
    assert provision()["last"]["actions"] == ["start cp1", "start worker1", "start mirror1", "attach controller"]
    assert on("cp1", "true").returncode == 0


def lose(host: str) -> None:
    """Kill a machine and the process of podman's that watches it: nobody tells podman that it has ended."""
    name = f"caravan-{NAME}-{host}"
    state = json.loads(run("podman", "inspect", "--type=container", name))[0]["State"]
    for pid in (state["ConmonPid"], state["Pid"]):
        os.kill(pid, signal.SIGKILL)
    assert run("podman", "inspect", "--format={{.State.Status}}", name).strip() == "running"


def test_a_machine_that_is_gone_without_podmans_knowledge_is_started(
    provision: Provision, on: Callable[..., subprocess.CompletedProcess]
) -> None:
    assert on("worker1", "echo kept > /etc/kept").returncode == 0
    lose("worker1")
    assert provision()["last"]["actions"] == ["start worker1", "attach controller"]
    assert on("worker1", "cat /etc/kept").stdout == "kept\n"
    assert provision()["stats"]["changed"] == 0


def test_keys_that_were_lost_are_replaced(provision: Provision, on: Callable[..., subprocess.CompletedProcess]) -> None:
    shutil.rmtree(REPOSITORY / ".caravan" / NAME / "ssh")
    provision()
    assert [on(host, "true").returncode for host in HOSTS] == [0, 0, 0]


def test_a_killed_run_is_completed(provision: Provision, on: Callable[..., subprocess.CompletedProcess]) -> None:
    image = run("podman", "inspect", "--format={{.ImageName}}", f"caravan-{NAME}-cp1").strip()
    run("podman", "rm", "--force", "--time=0", f"caravan-{NAME}-worker1")
    labels = [f"--label=caravan.inventory={NAME}", "--label=caravan.machine=worker1"]
    run("podman", "create", f"--name=caravan-{NAME}-worker1", *labels, image)
    assert provision()["last"]["actions"] == ["create worker1", "attach controller"]
    assert on("worker1", "true").returncode == 0


def test_another_checkout_neither_uses_nor_removes_them(provision: Provision, tmp_path: Path) -> None:
    other = Provision(provision.inventory, project=tmp_path)
    before = leftovers()
    for refused in (other(check=False), other.remove(check=False)):
        assert refused["stats"]["failures"] == 1
        assert f"{NAME} belong to {REPOSITORY}, and this is {tmp_path}" in refused["last"]["msg"]
    # All of its own: none of ours, and no image that ours are made from.
    ours = run("podman", "inspect", "--format={{.ImageName}}", f"caravan-{NAME}-cp1").strip()
    everything = other.remove("-e", "local_machines_every_inventory=true", "--check")
    actions = next(task["actions"] for task in everything["tasks"] if "actions" in task)
    assert [action for action in actions if NAME in action or ours in action] == []
    assert leftovers() == before


def test_down_with_all_takes_what_this_checkout_made_and_nothing_else(provision: Provision, tmp_path: Path) -> None:
    name, prefix = f"{NAME}_2", "10.98.91"
    clone = tmp_path / "clone"
    for part in ("inventories", "playbooks", "plugins", "roles", "meta", "galaxy.yml"):
        clone.mkdir(exist_ok=True)
        (clone / part).symlink_to(REPOSITORY / part)
    for copied in ("ansible.cfg", "scripts/down"):
        (clone / copied).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / copied, clone / copied)
    collection = clone / ".caravan/collections/ansible_collections/caravan/cluster"
    collection.parent.mkdir(parents=True)
    collection.symlink_to(clone)
    (clone / ".caravan/venv").symlink_to(REPOSITORY / ".caravan/venv")
    # What Go leaves in a cache: nobody may write there.
    (clone / ".caravan/cache/module").mkdir(parents=True)
    (clone / ".caravan/cache/module/file").touch()
    (clone / ".caravan/cache/module").chmod(0o555)
    inventory = make_inventory(tmp_path / name, prefix)
    before = leftovers()
    try:
        Provision(inventory, project=clone)()
        assert leftovers(name)["containers"]
    finally:
        environment = {**ENVIRONMENT, "ANSIBLE_CONFIG": str(clone / "ansible.cfg")}
        shown = subprocess.run(
            [str(clone / "scripts/down"), str(inventory), "all"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert set(leftovers(name).values()) == {""}
    assert not (clone / ".caravan").exists()
    # What was linked from there, and what others have made, is where it was.
    assert (REPOSITORY / ".caravan/venv/bin/python").exists()
    assert leftovers() == before


def test_removal_needs_consent(provision: Provision) -> None:
    refused = provision("-e", "local_machines_state=absent", check=False)
    assert refused["stats"]["failures"] == 1
    assert f"local_machines_consent to {NAME}" in refused["last"]["msg"]
    assert leftovers()["containers"]


def test_removal_leaves_nothing(provision: Provision) -> None:
    # One of them has ended, and podman does not know.
    lose("cp1")
    told = provision.remove("--check")
    assert told["stats"]["changed"] == 1
    assert leftovers()["containers"]
    assert provision.remove()["stats"]["changed"] == 1
    assert set(leftovers().values()) == {""}
    assert not (REPOSITORY / ".caravan" / NAME / "ssh").exists()
    assert provision.remove()["stats"]["changed"] == 0
