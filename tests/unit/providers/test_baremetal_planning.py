# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare metal without a server: which one becomes which machine, settings, claims, and what stands in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import capabilities, registry, spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.baremetal.allocation import allocate, fits
from ansible_collections.caravan.cluster.plugins.module_utils._providers.baremetal.settings import (
    NameServer,
    Server,
    ServerDisk,
    Settings,
)
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import Problem
from ansible_collections.caravan.cluster.plugins.module_utils._providers.ownership import Ownership
from ansible_collections.caravan.cluster.plugins.module_utils._providers.rfc2136.claims import Claims
from ansible_collections.caravan.cluster.plugins.module_utils._providers.rfc2136.nameserver import Zones
from ansible_collections.caravan.cluster.plugins.module_utils._providers.spec import Bucket, Spec

NOBODY: frozenset[str] = frozenset()


def spec(**pool: Any) -> Spec:
    own = {"name": "worker", "roles": ["worker"], "count": 2, "cpu": 2, "memory_gib": 8, "root_disk": {"size_gib": 20}}
    return spec_read.read(
        {
            "name": "demo",
            "network": {"cidr": "10.0.0.0/24"},
            "endpoint": {"host": "api.example.org"},
            "pools": [{**own, **pool}],
        }
    )


def server(name: str, cpu: int = 2, memory: int = 8, domain: str = "a", disks: tuple[int, ...] = ()) -> Server:
    own = tuple(ServerDisk(f"disk-{number}", size) for number, size in enumerate(disks))
    return Server(name, "https://bmc", "", "10.0.0.11", cpu, memory, "amd64", domain, own)


def chosen(wanted: Spec, stock: list[Server], own: dict[str, str] | None = None, taken: Any = NOBODY) -> dict[str, str]:
    domains = sorted({one.failure_domain for one in stock})
    found = allocate(wanted, stock, own or {}, frozenset(taken), domains)
    return {machine: one.name for machine, one in found.servers.items()}


def test_the_smallest_that_will_do() -> None:
    stock = [server("large", 64, 256), server("small", 1, 4), server("right", 2, 8), server("more", 4, 16)]
    assert chosen(spec(), stock) == {"worker-1": "right", "worker-2": "more"}


def test_failure_domains_take_turns() -> None:
    stock = [server("a1"), server("a2"), server("b1", 4, 16, "b"), server("b2", 4, 16, "b")]
    assert chosen(spec(), stock) == {"worker-1": "a1", "worker-2": "b1"}
    assert chosen(spec(spread="none"), stock) == {"worker-1": "a1", "worker-2": "a2"}


def test_a_domain_that_is_full_is_left_out_unless_the_spread_is_hard() -> None:
    stock = [server("a1"), server("a2"), server("b1", 1, 1, "b")]
    assert chosen(spec(), stock) == {"worker-1": "a1", "worker-2": "a2"}
    found = allocate(spec(spread="hard"), stock, {}, NOBODY, ["a", "b"])
    assert list(found.servers) == ["worker-1"]
    assert "no free server has 2 CPUs, 8 GiB, amd64 in b" in str(found.problems[0])


def test_a_machine_keeps_its_server_while_that_will_do() -> None:
    stock = [server("a1"), server("a2"), server("big", 64, 256)]
    own = {"worker-1": "big"}
    assert chosen(spec(), stock, own, {"big"}) == {"worker-1": "big", "worker-2": "a1"}
    own = {"worker-1": "a1", "worker-2": "a2"}
    found = allocate(spec(cpu=8), stock, own, frozenset({"a1", "a2"}), ["a"])
    assert {machine: one.name for machine, one in found.servers.items()} == {"worker-1": "big"}
    assert [problem.subject for problem in found.problems] == ["machine worker-2"]


def test_what_others_have_claimed_is_not_chosen() -> None:
    assert chosen(spec(count=1), [server("a1"), server("a2")], taken={"a1"}) == {"worker-1": "a2"}


@pytest.mark.parametrize(
    ("disks", "wanted", "will_do"),
    [
        ((), [], True),
        ((), [10], False),
        ((100, 20), [90, 10], True),
        ((100, 20), [30, 30], False),
        ((50,), [51], False),
    ],
)
def test_disks(disks: tuple[int, ...], wanted: list[int], will_do: bool) -> None:
    data = [{"name": f"d{number}", "size_gib": size} for number, size in enumerate(wanted)]
    assert fits(spec(data_disks=data).pools[0], server("one", disks=disks)) is will_do


def test_a_disk_of_another_storage_or_a_server_of_another_architecture_will_not_do() -> None:
    pool = spec(data_disks=[{"name": "data", "size_gib": 10, "storage": "fast"}]).pools[0]
    assert not fits(pool, server("one", disks=(100,)))
    assert not fits(spec(architecture="arm64").pools[0], server("one"))


SETTINGS: dict[str, Any] = {
    "vip": "10.0.0.100",
    "dns": {"server": "192.0.2.53", "key": "caravan"},
    "bmc": {"username": "caravan"},
    "servers": [{"name": "a1", "bmc": "https://192.0.2.1", "address": "10.0.0.11", "cpu": 2, "memory_gib": 8}],
    "secrets": {"bmc_password": "very-secret", "tsig": "dmVyeS1zZWNyZXQ="},
}


def read(**changes: Any) -> tuple[Settings, list[Problem]]:
    problems: list[Problem] = []
    return Settings.read({**SETTINGS, **changes}, problems), problems


def test_settings() -> None:
    settings, problems = read()
    assert problems == []
    assert settings.password(settings.servers[0]) == "very-secret"
    settings, _problems = read(secrets={**SETTINGS["secrets"], "bmc_passwords": {"a1": "another"}})
    assert settings.password(settings.servers[0]) == "another"
    assert "secret" not in repr(replace(settings.secrets)).replace("Secrets", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bmc": {}}, "bmc: username is not set"),
        (
            {"servers": [{**SETTINGS["servers"][0], "bmc": "http://192.0.2.1"}]},
            "wanted a URL such as https://10.0.0.11",
        ),
        ({"servers": [{**SETTINGS["servers"][0], "address": "10.0.0.999"}]}, "wanted an address such as 192.0.2.11"),
        ({"servers": [{**SETTINGS["servers"][0], "memory": 8}]}, "server a1: memory is no setting; wanted memory_gib"),
        ({"servers": SETTINGS["servers"] * 2}, "server a1: name is 'a1', which another server has too"),
        ({"boot": {"method": "virtual_media"}}, "boot: image is not set; wanted a URL with method virtual_media alone"),
        ({"boot": {"method": "floppy"}}, "boot: method is 'floppy'"),
        ({"dns": {"key": "caravan"}}, "dns: server is not set"),
        ({"dns": {**SETTINGS["dns"], "algorithm": "hmac-md5"}}, "wanted hmac-"),
        ({"secrets": None}, "secrets: bmc_password is not set"),
        ({"secrets": {**SETTINGS["secrets"], "tsig": "!!"}}, "secrets: tsig is not set, or not base64"),
        ({"secrets": {**SETTINGS["secrets"], "passwd": "x"}}, "secrets: passwd is no setting; wanted"),
        ({"secrets": {"bmc_password": ["very-secret"]}}, "secrets: bmc_password is of another kind; wanted a text"),
    ],
)
def test_mistakes_of_settings(changes: dict[str, Any], message: str) -> None:
    _settings, problems = read(**changes)
    text = "\n".join(map(str, problems))
    assert message in text and "very-secret" not in text


def test_a_claim_is_read_as_it_was_written() -> None:
    ownership = Ownership.of(spec())
    claims = Claims(Zones(NameServer(), ""), "example.org", "server", ownership)
    text = claims.text("worker-1", "0123", {"caravan.cluster/roles": "etcd,control_plane"})
    others = Claims(Zones(NameServer(), ""), "example.org", "server", replace(ownership, uid="another"))
    records = {
        "_server.a1.example.org": {"TXT": [text]},
        "_server.a2.example.org": {"TXT": [others.text("worker-1", "", {})]},
        "_record.api.example.org": {"TXT": [text]},
        "www.example.org": {"A": ["192.0.2.1"], "TXT": ['"v=spf1 -all"']},
    }
    found = claims.own(records)
    assert [(claim.owner, claim.subject, claim.text) for claim in found] == [
        ("_server.a1.example.org", "a1.example.org", text)
    ]
    assert ownership.name(found[0].tags) == "worker-1" and ownership.stamp(found[0].tags) == "0123"
    assert found[0].tags["caravan.cluster/roles"] == "etcd,control_plane"
    assert {claim.subject for claim in claims.all(records)} == {"a1.example.org", "a2.example.org"}


@pytest.mark.parametrize("text", ['a"b', "a\\b", "x" * 256])
def test_what_a_txt_string_cannot_hold_is_refused(text: str) -> None:
    claims = Claims(Zones(NameServer(), ""), "example.org", "server", Ownership.of(spec()))
    with pytest.raises(ValueError, match="no string of a TXT record"):
        claims.text("worker-1", "", {"image": text})


def test_what_stands_in_is_decided_and_told() -> None:
    wanted = replace(spec(), buckets=(Bucket("backup", lock_days=3),))
    strategy = registry.strategy("baremetal")
    assert capabilities.problems(wanted, strategy.CAPABILITIES, "baremetal", strategy.FALLBACKS) == []
    about = [
        one.about for one in capabilities.decisions(wanted, strategy.CAPABILITIES, "baremetal", strategy.FALLBACKS)
    ]
    assert about == ["endpoint.mode", "buckets", "buckets[].lock_days"]
    assert "buckets needs bucket" in str(capabilities.problems(wanted, strategy.CAPABILITIES, "baremetal")[0])
