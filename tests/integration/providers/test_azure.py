# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is Azure's own: mistakes that its account shows, groups, what other software has there, and the privileges."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import text
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import InvalidError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.executor import ApplyError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from ansible_collections.caravan.cluster.plugins.module_utils._providers.planner import Options
from azure_arm.arm import SUBSCRIPTION
from azure_arm.behaviour import identities, references
from azure_arm.catalogue import Size
from azure_arm.paths import parse
from azure_backend import GROUP, LOCATION, OTHERS, ZONE, AzureBackend

PATIENCE = Patience(limit=60, first=0.05, longest=0.5)
ROLE = Path(__file__).resolve().parents[3] / "docs" / "providers-azure-role.json"


@pytest.fixture(scope="module")
def one_server() -> Iterator[AzureBackend]:
    backend = AzureBackend()
    yield backend
    backend.stop()


@pytest.fixture
def azure(one_server: AzureBackend) -> AzureBackend:
    one_server.reset()
    return one_server


def small(azure: AzureBackend, **changes: Any) -> dict[str, Any]:
    """One machine in a network, and nothing beside it."""
    description = azure.description()
    for name in ("buckets", "keys", "identities", "dns"):
        del description[name]
    return {**description, "pools": description["pools"][:1], **changes}


def engine(azure: AzureBackend, description: dict[str, Any], **settings: Any) -> Engine:
    own = Engine(azure.strategy(description, **settings), patience=PATIENCE, reading=PATIENCE)
    own.validate()
    return own


def bring(azure: AzureBackend, description: dict[str, Any], **settings: Any) -> Engine:
    own = engine(azure, description, **settings)
    own.apply(own.plan())
    return own


def pool(azure: AzureBackend, **changes: Any) -> list[dict[str, Any]]:
    return [{**azure.description()["pools"][0], **changes}]


def named(group: str, rest: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{rest}"


def refused(azure: AzureBackend, description: dict[str, Any], **settings: Any) -> str:
    """What is said, once and before anything is touched."""
    with pytest.raises(InvalidError) as error:
        engine(azure, description, **settings).plan()
    assert azure.traffic.mutating == []
    assert len(error.value.problems) == 1, error.value
    return str(error.value.problems[0])


# -- bad input -------------------------------------------------------------------------------------------------


def test_wrong_credentials(azure: AzureBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AZURE_CLIENT_SECRET", "not-the-secret")
    said = refused(azure, small(azure))
    assert said.startswith("credentials: ") and "AADSTS7000215" in said and "AZURE_CLIENT_SECRET" in said
    assert "not-the-secret" not in said


SETTINGS = [
    (
        {"location": "westeuropa"},
        "location is 'westeuropa'; wanted westeurope; change infrastructure_settings.location",
    ),
    ({"subscription_id": "1" * 8 + "-2222-4333-8444-" + "1" * 12}, "infrastructure_settings.subscription_id"),
    ({"resource_group": "nobodys"}, "there is no resource group nobodys"),
]


@pytest.mark.parametrize(("settings", "said"), SETTINGS)
def test_wrong_places(azure: AzureBackend, settings: dict[str, str], said: str) -> None:
    assert said in refused(azure, small(azure), **settings)


NO_SIZE = {"native": {"azure": {"vm_size": "Standard_D2s_v55"}}}
NO_IMAGE = {"image": {"os": "debian", "version": "13"}, "architecture": "arm64"}
MACHINES = [
    (NO_SIZE, "size Standard_D2s_v55 is not offered here", "wanted Standard_D2s_v5;"),
    (NO_IMAGE, "there is no image Debian:debian-13:13-arm64", "infrastructure_pools[cp].image"),
]


@pytest.mark.parametrize(("changes", "seen", "wanted"), MACHINES)
def test_machines_that_are_not_offered(azure: AzureBackend, changes: dict[str, Any], seen: str, wanted: str) -> None:
    azure.arm.region.sizes.append(Size("Standard_D2pls_v5", 2, 4, "standardDPLSv5Family", "Arm64"))
    said = refused(azure, small(azure, pools=pool(azure, **changes)))
    assert seen in said and wanted in said


def test_a_zone_without_capacity(azure: AzureBackend) -> None:
    own = small(azure, pools=pool(azure, cpu=8, memory_gib=32), failure_domains=["3"])
    assert "Standard_D8s_v5 is not offered in zone 3; wanted a zone that has it (1, 2)" in refused(azure, own)


def test_a_zone_that_does_not_exist(azure: AzureBackend) -> None:
    said = refused(azure, small(azure, failure_domains=["west-1"]))
    assert "has 'west-1'" in said and "infrastructure_failure_domains" in said


def test_a_quota(azure: AzureBackend) -> None:
    azure.arm.region.quota["standardFSv2Family"] = 5
    said = refused(azure, small(azure, pools=pool(azure, count=3)))
    assert "need 6 cores of standardFSv2Family, and 0 are in use; wanted at most 5 in westeurope" in said


def test_names_of_others(azure: AzureBackend) -> None:
    description = small(azure)
    infra_id = azure.strategy(description).spec.infra_id
    theirs = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}}
    azure.arm.add(named(GROUP, f"Microsoft.Network/virtualNetworks/{infra_id}-main"), theirs)
    assert f"{infra_id}-main exists, and is not this cluster's" in refused(azure, description)
    azure.arm.add(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{infra_id}", {"location": LOCATION})
    assert f"a resource group {infra_id} exists" in refused(azure, description, resource_group="")


def test_names_of_others_in_the_world(azure: AzureBackend) -> None:
    description = small(azure, buckets=[{"name": "backup"}])
    strategy = azure.strategy(description)
    name = strategy.place.short_name("backup")
    azure.arm.add(named(OTHERS, f"Microsoft.Storage/storageAccounts/{name}"), {"location": LOCATION})
    assert f"bucket/backup: {name} is already taken." in refused(azure, description)


def test_records_of_others_and_zones_that_are_not_there(azure: AzureBackend) -> None:
    said = refused(azure, small(azure, dns={"zone": "example.net"}, endpoint={"host": "api.example.net"}))
    assert "Azure DNS has no zone example.net" in said
    record = named(OTHERS, f"Microsoft.Network/dnsZones/{ZONE}/A/api.demo")
    azure.arm.add(record, {"properties": {"TTL": 60, "ARecords": [{"ipv4Address": "192.0.2.1"}]}})
    assert "has a record that is not this cluster's" in refused(azure, small(azure, dns={"zone": ZONE}))


def test_a_subnet_that_is_not_there_or_another_one(azure: AzureBackend) -> None:
    subnet = named(OTHERS, "Microsoft.Network/virtualNetworks/v/subnets/s")
    own = small(azure, network={"cidr": "10.0.0.0/16", "mode": "existing"}, native={"azure": {"subnet_id": subnet}})
    assert "there is no subnet" in refused(azure, own)
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.7.0.0/16"}}]
    properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": subnets}
    azure.arm.add(
        named(OTHERS, "Microsoft.Network/virtualNetworks/v"), {"location": LOCATION, "properties": properties}
    )
    assert "cidr is 10.0.0.0/16, and that of the subnet 10.7.0.0/16; wanted 10.7.0.0/16" in refused(azure, own)


# -- what Azure has and others have not --------------------------------------------------------------------------


def test_an_own_group_goes_when_it_is_empty_and_not_before(azure: AzureBackend) -> None:
    foreign, description = azure.everything(), small(azure)
    own = bring(azure, description, resource_group="")
    group = own.world["group/main"].id
    address = f"{group}/providers/Microsoft.Network/publicIPAddresses/somebodys"
    azure.arm.add(address, {"location": LOCATION, "properties": {}})
    own = engine(azure, description, resource_group="")
    with pytest.raises(ApplyError, match="holds 1 resources that are not the cluster's"):
        own.apply(own.plan(present=False))
    assert azure.everything() - foreign == {group, address.lower()}
    azure.arm.resources.pop(address.lower())
    own = engine(azure, description, resource_group="")
    own.apply(own.plan(present=False))
    assert azure.everything() == foreign


def test_an_existing_subnet_is_used_and_left(azure: AzureBackend) -> None:
    network = named(OTHERS, "Microsoft.Network/virtualNetworks/company")
    subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/16"}}]
    properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": subnets}
    azure.arm.add(network, {"location": LOCATION, "properties": properties})
    native = {"azure": {"subnet_id": f"{network}/subnets/nodes"}}
    description = small(azure, network={"cidr": "10.0.0.0/16", "mode": "existing"}, native=native)
    foreign = azure.everything()
    own = bring(azure, description)
    assert own.world["interface/cp-1"].properties["subnet"] == f"{network}/subnets/nodes".lower()
    assert not engine(azure, description).plan()
    own = engine(azure, description)
    own.apply(own.plan(present=False))
    assert azure.everything() == foreign


def test_a_private_endpoint_and_a_way_out_by_nat(azure: AzureBackend) -> None:
    endpoint = {"host": f"api.demo.{ZONE}", "public": False}
    network = {"cidr": "10.0.0.0/16", "egress": "nat"}
    description = small(azure, endpoint=endpoint, network=network, dns={"zone": ZONE})
    own = bring(azure, description)
    assert sorted(key for key in own.world if key.startswith("address/")) == ["address/nat"]
    assert own.world["record/api"].properties["values"] == [own.outputs().endpoint["address"]]
    assert not engine(azure, description).plan()


def test_what_the_cloud_controller_makes_stays(azure: AzureBackend) -> None:
    """Rules for Services, and the memberships of their load balancer: neither drift nor ours to take away."""
    description = small(azure)
    own = bring(azure, description)
    group = azure.arm.resources[own.world["security_group/cp"].id]["properties"]
    rule = {**group["securityRules"][0]["properties"], "priority": 500}
    group["securityRules"].append({"name": "k8s-azure-lb_allow_IPv4_1", "properties": rule})
    balancer = named(GROUP, "Microsoft.Network/loadBalancers/kubernetes")
    pools = {"frontendIPConfigurations": [], "backendAddressPools": [{"name": "kubernetes"}]}
    azure.arm.add(balancer, {"location": LOCATION, "properties": pools})
    interface = azure.arm.resources[own.world["interface/cp-1"].id]["properties"]["ipConfigurations"][0]["properties"]
    theirs = {"id": f"{balancer}/backendAddressPools/kubernetes"}
    interface["loadBalancerBackendAddressPools"].append(theirs)
    plan = engine(azure, description).plan()
    assert not plan and not plan.drift

    # Our own changes leave them where they are.
    ports = [{"name": "web", "first": 80, "roles": ["cluster"], "protocol": "tcp", "sources": ["192.0.2.0/24"]}]
    group["securityRules"] = [one for one in group["securityRules"] if one["properties"]["priority"] >= 500]
    interface["loadBalancerBackendAddressPools"] = [theirs]
    changed = engine(azure, small(azure, ports=ports))
    changed.apply(changed.plan(options=Options(revert_drift=True)))
    after = azure.arm.resources[own.world["security_group/cp"].id]["properties"]["securityRules"]
    assert {"k8s-azure-lb_allow_IPv4_1", "web-1"} <= {one["name"] for one in after}
    pools = azure.arm.resources[own.world["interface/cp-1"].id]["properties"]["ipConfigurations"][0]["properties"]
    assert len(pools["loadBalancerBackendAddressPools"]) == 2


def test_a_deleted_vault_comes_back_with_its_key(azure: AzureBackend) -> None:
    description = small(azure, keys=[{"name": "disks"}])
    bring(azure, description)
    own = engine(azure, description)
    data = frozenset(one.key for one in own.observe() if own.handlers[one.kind].kind.keeps_data)
    own.apply(own.plan(present=False, options=Options(delete_data=data)))
    bring(azure, description)
    assert not engine(azure, description).plan()


def test_lists_have_pages_and_news_takes_a_while(azure: AzureBackend) -> None:
    azure.arm.page, azure.arm.lag = 2, 2
    description = azure.description()
    description["pools"][1]["count"] = 4
    own = engine(azure, description)
    own.apply(own.plan())
    azure.arm.lag = 0
    azure.arm.unseen.clear()
    own = engine(azure, description)
    assert not own.plan(), text.lines(own.plan())
    assert len(own.outputs().machines) == 5


def test_calls_do_not_grow_with_the_machines(azure: AzureBackend) -> None:
    counts = []
    for count in (1, 6):
        description = small(azure, pools=pool(azure, roles=["worker"], count=count))
        bring(azure, description)
        azure.traffic.clear()
        assert not engine(azure, description).plan()
        counts.append(len(azure.traffic.requests))
    assert counts[0] == counts[1]


# -- privileges ----------------------------------------------------------------------------------------------------


def privileges() -> list[str]:
    """The actions of the role that the guide gives."""
    actions: list[str] = json.loads(ROLE.read_text())["Actions"]
    return actions


def needed(request: str) -> str:
    """The action that a request needs, by Azure's rule: the type, and read, write, delete or the action's name."""
    method, path = request.lower().split(" ")
    verb = {"get": "read", "put": "write", "patch": "write", "delete": "delete", "post": "action"}[method]
    _head, provider, tail = path.rpartition("/providers/")
    parts = tail.split("/")
    if not provider:
        inner = "/resources" if path.endswith("/resources") else ""
        return f"microsoft.resources/subscriptions/resourcegroups{inner}/{verb}"
    if len(parts) == 1:
        return f"microsoft.resources/subscriptions/providers/{verb}"
    if parts[-1] == "checknameavailability":
        return f"{parts[0]}/checknameavailability/read"
    action = [parts.pop()] if method == "post" else []
    return "/".join([parts[0], *parts[1::2], *action, verb])


# What a request needs beside its own action, where its body refers to these.
LINKED = {
    "microsoft.keyvault/vaults": ("microsoft.keyvault/vaults/deploy/action",),
    "microsoft.managedidentity/userassignedidentities": (
        "microsoft.managedidentity/userassignedidentities/assign/action",
    ),
    **{
        f"microsoft.network/{type}": (f"microsoft.network/{type}/join/action",)
        for type in (
            "loadbalancers/backendaddresspools",
            "natgateways",
            "networkinterfaces",
            "networksecuritygroups",
            "publicipaddresses",
            "virtualnetworks/subnets",
        )
    },
}


def linked(azure: AzureBackend, owned: set[str]) -> set[str]:
    found = set()
    for id in owned & set(azure.arm.resources):
        resource = azure.arm.resources[id]
        for reference in (references(resource) | set(identities(resource))) - {id}:
            found |= set(LINKED.get(parse(reference).type, ()))
    return found


def test_the_guides_role_is_enough_and_not_too_much(azure: AzureBackend) -> None:
    """Every call of a life: everything is made, changed by others and brought back, and deleted."""
    description = azure.description()
    azure.traffic.clear()
    own = bring(azure, description, resource_group="")
    asked = linked(azure, {one.id for one in own.observe()})
    for drifted in [one for one in azure.drifts(own) if not one.lasting]:
        drifted.change()
    own = engine(azure, description, resource_group="")
    own.apply(own.plan(options=Options(revert_drift=True)))
    description["network"] = {**description["network"], "egress": "nat"}
    own = bring(azure, description, resource_group="")
    asked |= linked(azure, {one.id for one in own.observe()})
    # Where host keys are read. Nobody has booted here.
    assert [own.strategy.console(machine["id"]) for machine in own.machines()] == ["", ""]
    data = frozenset(one.key for one in own.observe() if own.handlers[one.kind].kind.keeps_data)
    own.apply(own.plan(present=False, options=Options(delete_data=data)))
    asked |= {
        needed(request.name)
        for request in azure.traffic.requests
        if not any(
            part in request.name for part in ("/operations/", "/oauth2/", "openid-configuration", "GET /consoles/")
        )
    }
    # Asked only where a network is somebody else's.
    asked.add("microsoft.network/virtualnetworks/subnets/read")
    assert asked == {action.lower() for action in privileges()}
