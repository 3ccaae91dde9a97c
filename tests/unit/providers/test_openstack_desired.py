# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack, as far as no cloud is needed: what a description becomes, and what is wrong with it."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.model import Ref, Resource
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack import checks
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.api import Api
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.desired import Desired
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.firewall import rules
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.network import Network
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.offer import Offer
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.settings import Settings
from ansible_collections.caravan.cluster.plugins.module_utils._providers.ownership import Ownership
from memory import DESCRIPTION

TYPES = {"standard": "hdd", "fast": "ssd"}
SETTINGS = {"volume_types": TYPES, "encrypted_volume_types": {name: f"{type}-luks" for name, type in TYPES.items()}}


def description(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DESCRIPTION), **changes}


def desired(zones: tuple[str, ...] = ("a", "b"), **changes: Any) -> dict[str, Resource]:
    settings = Settings.read(SETTINGS, [])
    volume_zones = dict.fromkeys(zones, "nova")
    resources = Desired(spec_read.read(description(**changes)), settings, zones, volume_zones, "outside").resources()
    found = {resource.key: resource for resource in resources}
    assert len(found) == len(resources)
    return found


def problems(settings: dict[str, Any] = SETTINGS, **changes: Any) -> list[str]:
    read = Settings.read(settings, [])
    return [str(one) for one in checks.description(spec_read.read(description(**changes)), read)]


def pools(**changes: Any) -> list[dict[str, Any]]:
    return [{**copy.deepcopy(one), **changes} for one in DESCRIPTION["pools"]]


def test_every_reference_leads_somewhere() -> None:
    found = desired()
    assert {ref.key for one in found.values() for ref in one.references()} <= set(found)


def test_control_planes_share_an_address() -> None:
    found = desired()
    shared = {key: one.properties["shared"] for key, one in found.items() if one.kind == "port"}
    masters = {
        f"port/{name}" for name, pool in spec_read.read(description()).machines() if "control_plane" in pool.roles
    }
    assert masters and {key for key, value in shared.items() if value == [Ref("port/api", "address")]} == masters
    assert found["floating_ip/api"].properties["port"] == Ref("port/api")


def test_without_an_address_to_share() -> None:
    found = desired(endpoint={**DESCRIPTION["endpoint"], "mode": "dns"})
    assert "port/api" not in found and "floating_ip/api" not in found


@pytest.mark.parametrize(
    ("egress", "addresses", "router"), [("direct", True, True), ("nat", False, True), ("none", False, False)]
)
def test_ways_out(egress: str, addresses: bool, router: bool) -> None:
    endpoint = {**DESCRIPTION["endpoint"], "public": egress != "none"}
    found = desired(network={**DESCRIPTION["network"], "egress": egress}, endpoint=endpoint)
    own = [key for key in found if key.startswith("floating_ip/") and key != "floating_ip/api"]
    assert bool(own) == addresses and ("router/main" in found) == router


@pytest.mark.parametrize(
    ("spread", "policy"), [("soft", "soft-anti-affinity"), ("hard", "anti-affinity"), ("none", None)]
)
def test_machines_apart(spread: str, policy: str | None) -> None:
    found = desired(pools=pools(spread=spread))
    groups = [one.properties["policy"] for one in found.values() if one.kind == "server_group"]
    assert set(groups) == ({policy} if policy else set())
    zones = {one.properties["failure_domain"] for one in found.values() if one.kind == "machine"}
    assert zones == ({"a"} if spread == "none" else {"a", "b"})


def test_encryption_is_the_type_of_a_volume() -> None:
    disk = {"size_gib": 20, "storage": "fast"}
    assert desired(pools=pools(root_disk=disk))["machine/cp-1"].properties["root_disk"] == "20 ssd-luks"
    plain = desired(pools=pools(root_disk={**disk, "encrypted": False}))
    assert plain["machine/cp-1"].properties["root_disk"] == "20 ssd"


NAME_SERVER = {"server": "192.0.2.53", "key": "caravan"}
ZONE = {"zone": "example.org", "manage": True}


@pytest.mark.parametrize(
    ("endpoint", "values"),
    [
        ({}, [Ref("floating_ip/api", "address")]),
        ({"public": False}, [Ref("port/api", "address")]),
        ({"mode": "dns"}, [Ref("floating_ip/cp-1", "address")]),
        ({"mode": "dns", "public": False}, [Ref("port/cp-1", "address")]),
    ],
)
def test_the_endpoint_s_name_leads_to_where_clients_come(endpoint: dict[str, Any], values: list[Ref]) -> None:
    own = {"mode": "auto", "public": True, "host": "api.demo.example.org", **endpoint}
    found = desired(dns=ZONE, endpoint=own, network={**DESCRIPTION["network"], "egress": "direct"})
    masters = sum(key.startswith("machine/cp-") for key in found)
    record = found["record/api"].properties
    assert record["name"] == own["host"] and record["values"][0] == values[0]
    assert len(record["values"]) == (masters if own["mode"] == "dns" else 1)
    assert "record/api" not in desired(dns={**ZONE, "manage": False}, endpoint=own)


def test_names_need_a_name_server() -> None:
    assert any("dns is not set" in one and "infrastructure_settings.dns" in one for one in problems(dns=ZONE))
    settings = {**SETTINGS, "dns": NAME_SERVER}
    assert problems(settings, dns=ZONE) == []
    endpoint = {**DESCRIPTION["endpoint"], "mode": "dns", "public": True}
    told = problems(settings, dns=ZONE, endpoint=endpoint, network={**DESCRIPTION["network"], "egress": "nat"})
    assert any("machines have no addresses outside" in one for one in told)


@pytest.mark.parametrize(
    ("own", "seen"),
    [
        ({"dns": NAME_SERVER}, "infrastructure_secrets.tsig"),
        ({"dns": NAME_SERVER, "secrets": {"tsig": "hidden!"}}, "infrastructure_secrets.tsig"),
        ({"dns": {"key": "caravan"}, "secrets": {"tsig": "aGlkZGVu"}}, "infrastructure_settings.dns.server"),
        ({"dns": {**NAME_SERVER, "zone": "a.org"}, "secrets": {"tsig": "aGlkZGVu"}}, "zone is no setting"),
        ({"secrets": {"tsig": "aGlkZGVu"}}, "infrastructure_settings.dns"),
        ({"secrets": {"pasword": "hidden!"}}, "infrastructure_secrets.pasword"),
    ],
)
def test_a_name_server_and_its_secret(own: dict[str, Any], seen: str) -> None:
    told = [str(one) for one in checks.settings({**SETTINGS, **own})]
    assert len(told) == 1 and seen in told[0] and "hidden" not in told[0]


def test_a_disk_without_a_type() -> None:
    told = problems(settings={"encrypted_volume_types": {"fast": "ssd-luks"}})
    assert told and all("infrastructure_settings.encrypted_volume_types has no standard" in one for one in told)


def test_names_that_are_no_settings() -> None:
    told = [str(one) for one in checks.settings({"external_netwrok": "public", "dns_servers": ["one.one"]})]
    assert any("external_network" in one for one in told) and any("has 'one.one'" in one for one in told)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"network": {"cidr": "10.0.0.0/16", "mode": "existing"}}, "subnet_id is not set"),
        ({"native": {"openstack": {"subnet_id": "1"}}}, "subnet_id is set"),
        ({"pools": pools(native={"openstack": {"flavour": "small"}})}, "flavor"),
        ({"network": {"cidr": "fd00::/64"}}, "IPv4"),
        ({"network": {"cidr": "10.0.0.0/16", "egress": "none"}}, "a router leads both ways"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], seen: str) -> None:
    assert any(seen in one for one in problems(**changes))


def test_rules_as_neutron_gives_them() -> None:
    own = {"direction": "ingress", "ethertype": "IPv4", "port_range_min": None, "port_range_max": None}
    found = rules(
        [
            {**own, "protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "192.0.2.0/24"},
            {**own, "protocol": "112", "remote_ip_prefix": "10.0.0.0/16"},
            {**own, "protocol": None, "remote_ip_prefix": None, "ethertype": "IPv6"},
            {**own, "protocol": "udp", "remote_group_id": "theirs"},
            {**own, "direction": "egress", "protocol": None},
        ]
    )
    assert found == [
        ["tcp", 22, 22, "192.0.2.0/24"],
        ["udp", None, None, "theirs"],
        ["vrrp", None, None, "10.0.0.0/16"],
        [None, None, None, "::/0"],
    ]


def test_a_description_says_whose_it_is() -> None:
    own = Ownership("demo-12345", "0f2bd6d5-3f0e-5d83-9c1c-5c7e3b0d6a11", separator=".")
    handler = Network(Api(Settings()), own)
    tags = handler.tags({"description": handler.description("main", "abcd")})
    assert own.owns(tags) and own.name(tags) == "main" and own.stamp(tags) == "abcd"
    other = Network(Api(Settings()), Ownership("demo-54321", own.uid, separator="."))
    assert not other.ownership.owns(tags) and not own.owns(other.tags({"description": other.description("main")}))
    assert not own.owns(handler.tags({"description": None})) and not own.owns(handler.tags({"description": "a=b"}))
    assert len(handler.description("n" * 63, "0" * 40).replace("demo-12345", "d" * 69)) <= 255


def test_flavors(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Offer(Api(Settings()))
    known = [("large", 8, 32), ("small", 2, 4), ("wide", 2, 16), ("odd", 3, 4)]
    listed = [
        {"id": name[0], "name": name, "vcpus": cpu, "ram": memory * 1024, "disk": 0} for name, cpu, memory in known
    ]
    monkeypatch.setattr(offer.api, "pages", lambda *arguments, **query: listed)
    for cpu, memory, name in ((2, 4, "small"), (2, 5, "wide"), (3, 4, "odd"), (4, 4, "large")):
        found = offer.flavor({"cpu": cpu, "memory_gib": memory})
        assert found and found["name"] == name
    assert offer.flavor({"cpu": 9, "memory_gib": 4}) is None
    assert offer.flavor({"name": "w"}) == offer.flavor({"name": "wide"})


def test_the_sdk_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys, ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.strategy as one; "
        "sys.exit(any(name in sys.modules for name in ('openstack', 'keystoneauth1')))"
    )
    path = Path(__file__).resolve().parents[3] / ".caravan" / "collections"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(path)}, check=True)
