# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._podman import nodes

CP1 = nodes.Machine("cp1", "10.98.0.11", volumes=("/var/lib/etcd",))
MIRROR1 = nodes.Machine("mirror1", "10.98.0.10", mounts=(nodes.Mount("/cache", "/srv/mirror"),))
DESIRED = nodes.Desired("local", "/srv/caravan", "10.98.0.0/24", "localhost/caravan-node:1", (CP1, MIRROR1))


def running(machine: nodes.Machine, state: str = "running") -> nodes.Existing:
    return nodes.Existing(machine.name, state, nodes.definition(DESIRED, machine))


SETTLED = nodes.Current(
    network=True,
    controller_attached=True,
    containers=(running(CP1), running(MIRROR1)),
    keys=frozenset({"cp1", "mirror1"}),
)


def steps(plan: nodes.Plan) -> list[str]:
    return [str(action) for action in plan.actions]


def test_from_nothing_everything_is_made() -> None:
    plan = nodes.plan_present(nodes.Current(), DESIRED)
    assert steps(plan) == ["create network", "create cp1", "create mirror1", "attach controller"]


def test_what_is_there_is_left_alone() -> None:
    assert nodes.plan_present(SETTLED, DESIRED) == nodes.Plan()


def test_after_the_controller_rebooted_machines_are_started() -> None:
    current = replace(
        SETTLED, controller_attached=False, containers=(running(CP1, "exited"), running(MIRROR1, "exited"))
    )
    assert steps(nodes.plan_present(current, DESIRED)) == ["start cp1", "start mirror1", "attach controller"]


def test_a_machine_without_a_process_is_started_whatever_podman_believes() -> None:
    listed = [
        {"Id": name, "Names": [name], "State": "running", "Labels": {nodes.MACHINE_LABEL: name}} for name in ("a", "b")
    ]
    found = nodes.parse_containers(listed, ended=frozenset({"b"}))
    assert [(one.id, one.machine, one.state) for one in found] == [("a", "a", "running"), ("b", "b", "exited")]


def test_a_machine_that_never_started_is_made_again() -> None:
    current = replace(SETTLED, containers=(running(CP1, "created"), running(MIRROR1)))
    assert steps(nodes.plan_present(current, DESIRED)) == ["create cp1", "attach controller"]


def test_keys_that_the_controller_lost_are_renewed() -> None:
    current = replace(SETTLED, keys=frozenset({"mirror1"}))
    assert "renew keys cp1" in steps(nodes.plan_present(current, DESIRED))


def test_only_an_added_machine_is_made() -> None:
    worker = nodes.Machine("worker1", "10.98.0.21")
    plan = nodes.plan_present(SETTLED, replace(DESIRED, machines=(CP1, MIRROR1, worker)))
    assert steps(plan) == ["create worker1", "attach controller"]


def test_another_image_is_told_but_replaces_nothing() -> None:
    plan = nodes.plan_present(SETTLED, replace(DESIRED, image="localhost/caravan-node:2"))
    assert plan == nodes.Plan(outdated=("cp1", "mirror1"))


def test_a_machine_that_left_the_inventory_is_told_but_kept() -> None:
    assert nodes.plan_present(SETTLED, replace(DESIRED, machines=(CP1,))) == nodes.Plan(surplus=("mirror1",))


def test_removal_takes_all_that_is_labelled() -> None:
    current = replace(SETTLED, volumes=frozenset({"caravan-local-cp1-var-lib-etcd", "another"}))
    assert steps(nodes.plan_absent(current)) == [
        "remove cp1",
        "remove mirror1",
        "remove volume another",
        "remove volume caravan-local-cp1-var-lib-etcd",
        "remove network",
    ]
    assert nodes.plan_absent(nodes.Current()) == nodes.Plan()


@pytest.mark.parametrize(
    ("machines", "named"),
    [
        ((CP1, nodes.Machine("worker1", "10.98.0.11")), "worker1: ansible_host is 10.98.0.11, which cp1 has too"),
        ((nodes.Machine("cp1", "10.99.0.11"),), r"cp1: ansible_host is 10.99.0.11, .* \(10.98.0.0/24\)"),
        ((nodes.Machine("cp1", "10.98.0.1"),), "cp1: ansible_host is 10.98.0.1, which 10.98.0.0/24 keeps"),
        ((nodes.Machine("cp1", "10.98.0.255"),), "cp1: ansible_host is 10.98.0.255"),
        ((nodes.Machine("cp1", "worker.example"),), "cp1: ansible_host is worker.example, which is no address"),
    ],
)
def test_impossible_addresses_are_refused(machines: tuple[nodes.Machine, ...], named: str) -> None:
    with pytest.raises(nodes.DefinitionError, match=named):
        nodes.check(replace(DESIRED, machines=machines))


def test_a_cidr_that_is_none_is_refused_by_its_variable() -> None:
    with pytest.raises(nodes.DefinitionError, match=r"local_machines_cidr is 10\.98\.0\.5/24"):
        nodes.check(replace(DESIRED, cidr="10.98.0.5/24"))


def test_a_container_keeps_its_address_keys_and_names() -> None:
    arguments = nodes.container_arguments(DESIRED, MIRROR1, kernel_modules=True)
    assert arguments[-1] == DESIRED.image
    for wanted in (
        "--ip=10.98.0.10",
        "--no-hosts",
        "--volume=/cache:/srv/mirror:ro",
        "--volume=/lib/modules:/lib/modules:ro",
    ):
        assert wanted in arguments
    assert "--volume=/lib/modules:/lib/modules:ro" not in nodes.container_arguments(DESIRED, CP1, kernel_modules=False)
    assert "--volume=caravan-local-cp1-var-lib-etcd:/var/lib/etcd" in nodes.container_arguments(DESIRED, CP1, False)


def test_the_network_has_neither_router_nor_name_server() -> None:
    arguments = nodes.network_arguments(DESIRED)
    assert "--internal" in arguments
    assert "--disable-dns" in arguments
    assert nodes.controller_address("10.98.0.0/24") == "10.98.0.1/24"


def test_files_reach_the_machine_with_their_modes() -> None:
    data = nodes.archive({nodes.HOST_KEY: (0o600, b"key"), "etc/hosts": (0o644, b"127.0.0.1 localhost\n")})
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {(entry.name, entry.mode, entry.uid) for entry in archive} == {
            ("etc/ssh/ssh_host_ed25519_key", 0o600, 0),
            ("etc/hosts", 0o644, 0),
        }


def test_known_hosts_has_name_and_address() -> None:
    text = nodes.known_hosts((CP1,), {"cp1": "ssh-ed25519 AAAA"})
    assert text == "cp1,10.98.0.11 ssh-ed25519 AAAA\n"


def test_first_hosts_file() -> None:
    text = nodes.hosts_file(CP1, {"mirror.local.caravan.test": "10.98.0.10"})
    assert text.splitlines() == [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        "10.98.0.11 cp1",
        "10.98.0.10 mirror.local.caravan.test",
    ]


def test_podman_is_read_by_labels() -> None:
    listed = [
        {
            "Id": "1",
            "Names": ["caravan-local-cp1"],
            "State": "exited",
            "Labels": {"caravan.inventory": "local", "caravan.machine": "cp1", "caravan.definition": "abc"},
        },
        {"Id": "2", "Names": ["by-hand"], "State": "running", "Labels": {"caravan.inventory": "local"}},
    ]
    assert nodes.parse_containers(listed, frozenset()) == (
        nodes.Existing("", "running", "", "2"),
        nodes.Existing("cp1", "exited", "abc", "1"),
    )


def test_machines_of_another_project_are_not_ours() -> None:
    current = replace(SETTLED, projects=frozenset({"/srv/other"}))
    with pytest.raises(nodes.ForeignError, match=r"local belong to /srv/other, and this is /srv/caravan"):
        nodes.check_project("local", current, DESIRED.project, lambda path: True)


@pytest.mark.parametrize("projects", [{DESIRED.project}, {"/srv/gone"}, set()])
def test_machines_of_this_project_or_of_one_that_is_gone_are(projects: set[str]) -> None:
    current = replace(SETTLED, projects=frozenset(projects))
    nodes.check_project("local", current, DESIRED.project, lambda path: path != "/srv/gone")


def test_all_that_is_made_carries_inventory_and_project() -> None:
    wanted = {"--label=caravan.inventory=local", "--label=caravan.project=/srv/caravan"}
    assert wanted <= set(nodes.network_arguments(DESIRED))
    assert wanted <= set(nodes.volume_arguments(DESIRED, CP1, "/var/lib/etcd"))
    assert wanted <= set(nodes.container_arguments(DESIRED, CP1, False))
