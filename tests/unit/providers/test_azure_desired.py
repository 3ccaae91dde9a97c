# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure, as far as no server is needed: what a description becomes, and what is wrong with it."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure import checks
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure.desired import Desired
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure.settings import Settings
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure.sizes import FAMILIES, table, vm_size
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure.strategy import Azure
from ansible_collections.caravan.cluster.plugins.module_utils._providers.model import Ref, Resource
from ansible_collections.caravan.cluster.plugins.module_utils._providers.spec import GRANTS
from memory import DESCRIPTION

SUBSCRIPTION, TENANT = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
SETTINGS = {"subscription_id": SUBSCRIPTION, "tenant_id": TENANT, "location": "westeurope"}
ZONE = "/subscriptions/s/resourcegroups/names/providers/microsoft.network/dnszones/example.org"


def description(**changes: Any) -> dict[str, Any]:
    own = {"access": {"authorized_keys": ["ssh-ed25519 AAAA test"]}}
    return {**copy.deepcopy(DESCRIPTION), **own, **changes}


def desired(zones: tuple[str, ...] = ("1", "2", "3"), group: str = "", **changes: Any) -> dict[str, Resource]:
    settings = Settings.read({**SETTINGS, "resource_group": group}, [])
    resources = Desired(spec_read.read(description(**changes)), settings, zones, ZONE).resources()
    found = {resource.key: resource for resource in resources}
    assert len(found) == len(resources)
    return found


@pytest.mark.parametrize(
    ("cpu", "memory", "architecture", "size"),
    [
        (2, 4, "amd64", "Standard_F2s_v2"),
        (2, 5, "amd64", "Standard_D2s_v5"),
        (2, 16, "amd64", "Standard_E2s_v5"),
        (3, 4, "amd64", "Standard_F4s_v2"),
        (2, 8, "arm64", "Standard_D2ps_v5"),
        (128, 4, "amd64", ""),
    ],
)
def test_the_smallest_size_that_fits(cpu: int, memory: int, architecture: str, size: str) -> None:
    assert vm_size(cpu, memory, architecture) == size


def test_a_bigger_wish_is_never_a_smaller_machine() -> None:
    for architecture in FAMILIES:
        sizes = {name: (cpu, memory) for cpu, memory, name in table(architecture)}
        for cpu, memory in sizes.values():
            own = sizes[vm_size(cpu, memory, architecture)]
            assert own[0] >= cpu and own[1] >= memory


def test_machines_are_spread_over_zones() -> None:
    found = desired()
    assert [found[f"machine/cp-{number}"].properties["failure_domain"] for number in (1, 2, 3)] == ["1", "2", "3"]
    pools = copy.deepcopy(DESCRIPTION["pools"])
    pools[0]["spread"] = "none"
    together = desired(pools=pools)
    assert {together[f"machine/cp-{number}"].properties["failure_domain"] for number in (1, 2, 3)} == {"1"}


def test_a_region_without_zones() -> None:
    found = desired(zones=(), buckets=[{"name": "backup"}])
    assert found["machine/cp-1"].properties["failure_domain"] == ""
    assert found["bucket/backup"].properties["redundancy"] == "Standard_LRS"


def test_a_disk_is_in_the_zone_of_its_machine() -> None:
    found = desired()
    for name in ("worker-1", "worker-2"):
        volume, machine = found[f"volume/{name}-data"].properties, found[f"machine/{name}"].properties
        assert volume["failure_domain"] == machine["failure_domain"]
        assert (volume["key"], volume["attached_to"]) == (Ref("key/disks"), Ref(f"machine/{name}"))


def test_an_own_group_holds_everything_and_an_existing_one_is_not_ours() -> None:
    own, existing = desired(), desired(group="Platform")
    assert own["machine/cp-1"].properties["group"] == Ref("group/main")
    assert "group/main" not in existing
    assert existing["machine/cp-1"].properties["group"] == f"/subscriptions/{SUBSCRIPTION}/resourcegroups/platform"


def rules(pool: str, **changes: Any) -> list[list[Any]]:
    found: list[list[Any]] = desired(**changes)[f"security_group/{pool}"].properties["rules"]
    return found


def test_rules_are_the_port_table_and_nothing_else() -> None:
    nodes = ["10.0.0.0/16", "10.1.0.0/16"]
    ports = [
        {"name": "etcd", "first": 2379, "last": 2380, "protocol": "tcp", "roles": ["etcd"], "sources": ["10.0.0.0/16"]},
        {
            "name": "dns",
            "first": 53,
            "protocol": "udp",
            "roles": ["cluster"],
            "sources": ["10.1.0.0/16", "10.0.0.0/16"],
        },
        {"name": "vrrp", "protocol": "vrrp", "roles": ["control_plane"], "sources": ["10.0.0.0/16"]},
    ]
    assert rules("cp", ports=ports) == [
        [100, "dns-0", "udp", "53", nodes],
        [110, "etcd-1", "tcp", "2379-2380", ["10.0.0.0/16"]],
        [120, "icmp-2", "icmp", "*", ["*"]],
        [4095, "probes", "tcp", "6443", ["AzureLoadBalancer"]],
        [4096, "others", "deny *", "*", ["*"]],
    ]
    assert [rule[1] for rule in rules("worker", ports=ports)] == ["dns-0", "icmp-1", "others"]


def test_rules_do_not_depend_on_the_order_of_the_table() -> None:
    ports = [
        {"name": name, "first": 80, "protocol": protocol, "roles": ["cluster"], "sources": ["10.0.0.0/16"]}
        for name, protocol in (("b", "tcp"), ("a", "udp"), ("c", "tcp"))
    ]
    assert rules("cp", ports=ports) == rules("cp", ports=ports[::-1])


def test_the_endpoint_may_be_limited() -> None:
    endpoint = {"host": "api.demo.example.org", "allow": ["192.0.2.0/24"]}
    assert [110, "icmp-1", "icmp", "*", ["*"]] in rules("cp", endpoint=endpoint)
    assert [100, "endpoint-0", "tcp", "6443", ["192.0.2.0/24"]] in rules("cp", endpoint=endpoint)


def test_only_control_planes_are_behind_the_balancer() -> None:
    found = desired()
    pools = {key: one.properties["pools"] for key, one in found.items() if one.kind == "interface"}
    assert {key for key, own in pools.items() if own} == {f"interface/cp-{number}" for number in (1, 2, 3)}


def test_every_verb_is_a_grant() -> None:
    identities = [{"name": "all", "pools": ["cp"], "grants": list(GRANTS)}]
    found = desired(identities=identities, buckets=[{"name": "a"}, {"name": "b"}])
    grants = [one.properties for one in found.values() if one.kind == "grant"]
    assert len(grants) == len(GRANTS) + 2, "one for each verb, and one more for each verb of the second bucket"
    assert {grant["scope"] for grant in grants if isinstance(grant["scope"], str)} == {ZONE}
    assert {str(grant["principal"]) for grant in grants} == {"<identity/all principal_id>"}


def test_a_network_that_exists_is_not_made() -> None:
    subnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/Nodes"
    network = {"cidr": "10.0.0.0/16", "mode": "existing"}
    found = desired(network=network, native={"azure": {"subnet_id": subnet}})
    assert not [key for key in found if key.startswith(("network/", "nat/"))]
    assert found["interface/cp-1"].properties["subnet"] == subnet.lower()


MISTAKES = [
    ({"endpoint": {"host": "api.demo.example.org", "mode": "vip"}}, "mode is 'vip'; wanted balancer or auto"),
    ({"network": {"cidr": "fd00::/64"}}, "cidr is fd00::/64; wanted an IPv4 network"),
    ({"access": {}}, "authorized_keys is empty; wanted a public key"),
    ({"native": {"azure": {"subnet": "x"}}}, "subnet is no setting; wanted subnet_id"),
    ({"native": {"azure": {"subnet_id": "nodes"}}}, "subnet_id is 'nodes'; wanted the whole id of a subnet"),
    ({"network": {"cidr": "10.0.0.0/16", "mode": "existing"}}, "subnet_id is not set"),
]


@pytest.mark.parametrize(("changes", "said"), MISTAKES)
def test_mistakes_of_a_description(changes: dict[str, Any], said: str) -> None:
    spec = spec_read.read(description(**changes))
    assert said in "\n".join(map(str, Azure(spec, SETTINGS).validate()))


POOLS = [
    ({"cpu": 200}, "wants 200 CPUs and 4 GiB; wanted at most 64 CPUs and 512 GiB (Standard_E64s_v5)"),
    ({"image": {"os": "debain", "version": "12"}}, "image is debain/12; wanted debian/12"),
    ({"native": {"azure": {"image": {"publisher": "Debian", "offer": "x"}}}}, "sku is not set"),
    ({"native": {"azure": {"size": "Standard_D2s_v5"}}}, "size is no setting; wanted vm_size"),
]


@pytest.mark.parametrize(("changes", "said"), POOLS)
def test_mistakes_of_a_pool(changes: dict[str, Any], said: str) -> None:
    pools = [{**DESCRIPTION["pools"][0], **changes}]
    spec = spec_read.read(description(pools=pools))
    problems = "\n".join(map(str, Azure(spec, SETTINGS).validate()))
    assert said in problems and "pool cp" in problems


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subscription_id": "mine"}, "subscription_id is 'mine'; wanted the subscription's UUID"),
        ({"location": "West Europe"}, "location is 'West Europe'; wanted a location such as westeurope"),
        ({"resource_manager": "http://management.azure.com"}, "wanted a URL with https"),
        ({"region": "westeurope"}, "region is no setting"),
        ({"client_secret": "x"}, "client_secret is no setting"),
    ],
)
def test_mistakes_of_the_settings(changes: dict[str, Any], said: str) -> None:
    problems = checks.settings({**SETTINGS, **changes})
    assert len(problems) == 1 and said in str(problems[0])


def test_keys_need_the_directory() -> None:
    spec = spec_read.read(description())
    problems = Azure(spec, {**SETTINGS, "tenant_id": ""}).validate()
    assert [problem.change for problem in problems] == ["infrastructure_settings.tenant_id"]
    assert Azure(spec, SETTINGS).validate() == []


def test_names_that_are_unique_in_the_world_are_short_and_ours() -> None:
    twin = description(endpoint={"host": "api.other.example.org"})
    names = {Azure(spec_read.read(own), SETTINGS).place.short_name("backup") for own in (description(), twin)}
    assert len(names) == 2
    assert all(len(name) <= 24 and name.isalnum() and name[0] == "c" for name in names)


def test_tags_hold_no_slashes() -> None:
    assert not [tag for tag in Azure(spec_read.read(description()), SETTINGS).ownership.tags("x", "y") if "/" in tag]


def test_the_sdk_is_not_needed_to_check_a_description() -> None:
    """It takes a second to import, and whoever is on another provider does not have it."""
    collections = Path(__file__).resolve().parents[3] / ".caravan" / "collections"
    package = "ansible_collections.caravan.cluster.plugins.module_utils._providers"
    program = f"import sys; from {package} import registry; registry.strategy('azure'); print('azure' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=collections, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
