# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in's machines follow its API: which steps that takes, what machines find, and where requests go."""

from __future__ import annotations

import json

import dns.message
import dns.rcode
import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._podman import nodes
from ansible_collections.caravan.cluster.plugins.module_utils._podman.client import Podman
from stand_in import first_boot, haproxy
from stand_in.containers import Containers, Step, steps
from stand_in.model import Balancer, Instance
from stand_in.nameserver import Names

RUNS = Instance("i-1", "10.0.0.4", "admin", "#cloud-config\n{}")
STOPPED = Instance("i-2", "10.0.0.5", "admin", "#cloud-config\n{}", running=False)


@pytest.mark.parametrize(
    ("wanted", "there", "expected"),
    [
        ([RUNS], {}, [Step("create", "i-1")]),
        ([RUNS], {"i-1": True}, []),
        ([], {"i-1": True}, [Step("remove", "i-1")]),
        ([RUNS], {"i-1": False}, [Step("start", "i-1")]),
        ([STOPPED], {"i-2": True}, [Step("stop", "i-2")]),
        # It has never run, so there is nothing to boot.
        ([STOPPED], {}, []),
        ([RUNS], {"i-0": True}, [Step("remove", "i-0"), Step("create", "i-1")]),
    ],
)
def test_the_steps_to_what_the_provider_says(
    wanted: list[Instance], there: dict[str, bool], expected: list[Step]
) -> None:
    assert steps(wanted, there) == expected


def test_another_process_makes_containers_in_the_same_place() -> None:
    place = nodes.Desired("clouds", "/project", "10.0.0.0/24", "node:1", ())
    other = Containers.of(Podman(""), Containers(Podman(""), place, "10.0.0.1").told())
    assert (other.place, other.nameserver) == (place, "10.0.0.1")


def test_a_machine_finds_its_user_data_and_its_name_server() -> None:
    files = first_boot.files(RUNS, "10.0.0.1")
    assert files["var/lib/cloud/seed/nocloud/user-data"] == (0o600, b"#cloud-config\n{}")
    image = json.loads(files["etc/cloud/cloud.cfg.d/90_stand_in.cfg"][1])
    assert image["system_info"] == {"default_user": {"name": "admin"}}
    assert files["etc/resolv.conf"][1].startswith(b"nameserver 10.0.0.1\n")


def test_a_load_balancer_has_all_its_ports_and_machines() -> None:
    api = Balancer("api", "10.0.0.254", 6443, "/readyz", (("10.0.0.4", 6443), ("10.0.0.5", 6443)))
    found = haproxy.configurations([api, Balancer("api", "10.0.0.254", 443, "/", ())])
    assert list(found) == ["api"]
    assert "bind *:443" in found["api"] and "bind *:6443" in found["api"]
    assert "option httpchk GET /readyz" in found["api"]
    assert "server s0 10.0.0.4:6443" in found["api"] and "server s1 10.0.0.5:6443" in found["api"]


@pytest.mark.parametrize(
    ("name", "type", "rcode", "addresses"),
    [
        ("api.example.org.", "A", dns.rcode.NOERROR, ["10.0.0.254"]),
        ("API.Example.Org.", "A", dns.rcode.NOERROR, ["10.0.0.254"]),
        ("api.example.org.", "AAAA", dns.rcode.NOERROR, []),
        ("mirror.test.", "A", dns.rcode.NOERROR, ["10.0.0.10"]),
        ("www.example.org.", "A", dns.rcode.NXDOMAIN, []),
    ],
)
def test_names_are_those_of_the_provider_and_of_the_site(
    name: str, type: str, rcode: int, addresses: list[str]
) -> None:
    names = Names({"mirror.test": "10.0.0.10"})
    names.records = {"api.example.org": ("10.0.0.254",)}
    answer = dns.message.from_wire(names.answer(dns.message.make_query(name, type).to_wire()))
    assert answer.rcode() == rcode
    assert [item.to_text() for rrset in answer.answer for item in rrset] == addresses
