# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is OpenStack's own: mistakes that its cloud shows, and networks that are there already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.name
import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import InvalidError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.executor import ApplyError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from ansible_collections.caravan.cluster.plugins.module_utils._providers.planner import Options
from baremetal_site.name_server import KEY, NameServer
from openstack_backend import OpenStackBackend

pytestmark = pytest.mark.long

ZONE = "example.org"
PATIENCE = Patience(limit=60, first=0.05, longest=0.5)


@pytest.fixture
def cloud(one_cloud: OpenStackBackend) -> OpenStackBackend:
    one_cloud.reset()
    return one_cloud


def engine(backend: OpenStackBackend, description: dict[str, Any], **settings: Any) -> Engine:
    own = Engine(backend.strategy(description, **settings), patience=PATIENCE, reading=PATIENCE)
    own.validate()
    return own


def bring(backend: OpenStackBackend, description: dict[str, Any], present: bool = True, **settings: Any) -> Engine:
    own = engine(backend, description, **settings)
    data = frozenset(one.key for one in own.observe() if own.handlers[one.kind].kind.keeps_data)
    own.apply(own.plan(present, Options(delete_data=data if not present else frozenset())))
    return own


def refused(backend: OpenStackBackend, description: dict[str, Any], **settings: Any) -> str:
    """What is said, once and before anything is touched."""
    with pytest.raises(InvalidError) as error:
        engine(backend, description, **settings).plan()
    assert backend.traffic.mutating == []
    assert len(error.value.problems) == 1, error.value
    return str(error.value.problems[0])


def small(cloud: OpenStackBackend, **changes: Any) -> dict[str, Any]:
    """One machine. `changes` are those of its pool."""
    description = cloud.description()
    return {**description, "pools": [{**description["pools"][0], **changes}]}


def test_wrong_credentials(cloud: OpenStackBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "not-this-one")
    told = refused(cloud, small(cloud))
    assert told.startswith("credentials: ") and "clouds.yaml" in told
    assert "not-this-one" not in told


def test_an_unknown_region(cloud: OpenStackBackend) -> None:
    told = refused(cloud, small(cloud), region="RegionTwo")
    assert told.startswith("settings: region is 'RegionTwo'; wanted RegionOne; change infrastructure_settings.region")


def test_an_unknown_cloud(cloud: OpenStackBackend) -> None:
    assert "credentials" in refused(cloud, small(cloud), cloud="nowhere")


def test_an_unknown_zone(cloud: OpenStackBackend) -> None:
    told = refused(cloud, {**small(cloud), "failure_domains": ["zone3"]})
    assert "has 'zone3'" in told and "infrastructure_failure_domains" in told


def test_an_unknown_flavor(cloud: OpenStackBackend) -> None:
    told = refused(cloud, small(cloud, native={"openstack": {"flavor": "smal"}}))
    assert "there is no flavor smal; wanted small; change" in told


def test_a_size_that_no_flavor_has(cloud: OpenStackBackend) -> None:
    told = refused(cloud, small(cloud, cpu=64))
    assert "no flavor has 64 CPUs" in told and "large with 4 CPUs and 16 GiB" in told


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"image": {"os": "debian", "version": "11"}}, "no image has os_distro=debian, os_version=11"),
        ({"architecture": "arm64"}, "the architecture arm64"),
        ({"native": {"openstack": {"image": "Debian 21"}}}, "there is no image Debian 21; wanted Debian 12"),
    ],
)
def test_an_unknown_image(cloud: OpenStackBackend, changes: dict[str, Any], seen: str) -> None:
    told = refused(cloud, small(cloud, **changes))
    assert seen in told and "Debian 12" in told


def test_an_unknown_network_outside(cloud: OpenStackBackend) -> None:
    told = refused(cloud, small(cloud), external_network="publik")
    assert "external_network is 'publik'; wanted public" in told


def test_volume_types(cloud: OpenStackBackend) -> None:
    told = refused(cloud, small(cloud), encrypted_volume_types={})
    assert "encrypted_volume_types has no standard" in told and "encrypted" in told
    told = refused(cloud, small(cloud), encrypted_volume_types={"standard": "standard-lux"})
    assert "there is no volume type standard-lux; wanted standard-luks" in told


@pytest.mark.parametrize(
    ("what", "quota"),
    [("instances", {"instances": 0}), ("cores", {"cores": 1}), ("ram", {"ram": 1024})],
)
def test_a_quota_of_machines(cloud: OpenStackBackend, what: str, quota: dict[str, int]) -> None:
    cloud.admin.compute.update_quota_set(cloud.project.id, **quota)
    told = refused(cloud, small(cloud))
    assert f"more {what}" in told and f"at most {next(iter(quota.values()))} in the project" in told


def test_a_quota_of_networks_and_disks(cloud: OpenStackBackend) -> None:
    cloud.admin.network.update_quota(cloud.project.id, floating_ips=1)
    assert "the plan needs 2 more floatingips, and 0 are in use; wanted at most 1" in refused(cloud, small(cloud))
    cloud.admin.network.update_quota(cloud.project.id, floating_ips=10)
    cloud.admin.block_storage.update_quota_set(cloud.project.id, gigabytes=10)
    assert "gigabytes of volumes" in refused(cloud, small(cloud))


def test_a_network_that_exists(cloud: OpenStackBackend) -> None:
    own = cloud.admin.network.create_subnet(
        network_id=cloud.theirs.id, ip_version=4, cidr="10.9.0.0/24", project_id=cloud.project.id
    )
    description = {**small(cloud), "endpoint": {"host": "api.demo.example.org", "public": False}}
    description["network"] = {"cidr": "10.0.0.0/16", "mode": "existing"}
    description["native"] = {"openstack": {"subnet_id": own.id}}
    assert "cidr is 10.0.0.0/16, and that of the subnet 10.9.0.0/24" in refused(cloud, description)
    description["network"]["cidr"] = "10.9.0.0/24"
    missing = {**description, "native": {"openstack": {"subnet_id": own.id[:-1] + ("0" if own.id[-1] != "0" else "1")}}}
    assert f"wanted {own.id}" in refused(cloud, missing)
    before = cloud.everything()
    found = bring(cloud, description)
    assert {one.kind for one in found.world.values()} == {"machine", "port", "security_group", "server_group"}
    assert found.outputs().machines[0].address("InternalIP").startswith("10.9.0.")
    bring(cloud, description, present=False)
    assert cloud.everything() == before


def test_networks_that_overlap(cloud: OpenStackBackend) -> None:
    description = small(cloud)
    description["network"] = {"cidr": "10.244.0.0/16", "apart": ["10.244.0.0/16"]}
    with pytest.raises(InvalidError, match=r"10\.244\.0\.0/16 and 10\.244\.0\.0/16 overlap"):
        engine(cloud, description)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"endpoint": {"host": "api.demo.example.org", "mode": "balancer"}}, "endpoint.mode needs balancer"),
        ({"dns": {"zone": "example.org"}}, "dns is not set, and OpenStack has no names of its own"),
        ({"network": {"cidr": "10.0.0.0/16", "egress": "none"}}, "a router leads both ways"),
        ({"network": {"cidr": "2001:db8::/64"}}, "an IPv4 network"),
    ],
)
def test_what_openstack_lacks(cloud: OpenStackBackend, changes: dict[str, Any], seen: str) -> None:
    assert seen in refused(cloud, {**small(cloud), **changes})


def test_a_type_that_does_not_encrypt_gets_no_data(cloud: OpenStackBackend) -> None:
    """Only an administrator sees what a type does. A disk shows it."""
    before = cloud.everything()
    description = cloud.description()
    with pytest.raises(ApplyError, match="the volume type standard does not encrypt"):
        bring(cloud, description, encrypted_volume_types={"standard": "standard"})
    found = engine(cloud, description).observe()
    assert not [one for one in found if one.kind == "volume"]
    bring(cloud, description, present=False)
    assert cloud.everything() == before


@pytest.fixture
def names(tmp_path: Path) -> Iterator[NameServer]:
    server = NameServer(tmp_path, ZONE, lambda application: application)
    yield server
    server.stop()


def test_the_endpoint_s_record_is_in_a_name_server_of_one_s_own(cloud: OpenStackBackend, names: NameServer) -> None:
    """BIND, with the key that the guide to bare metal describes."""
    before = names.records()
    description = {**small(cloud), "dns": {"zone": ZONE}}
    host = description["endpoint"]["host"]
    server = {"server": "127.0.0.1", "port": names.port, "key": KEY}
    settings: dict[str, Any] = {"dns": server, "secrets": {"tsig": names.secret}}
    wrong = {**settings, "secrets": {"tsig": "bm90LXRoaXMtb25l"}}
    told = refused(cloud, description, **wrong)
    assert "infrastructure_secrets.tsig" in told and "bm90" not in told

    own = bring(cloud, description, **settings)
    address = own.world["floating_ip/api"].details["address"]
    assert names.records()[(host, "A")] == [address]
    assert own.outputs().dns == {"zone": ZONE, "provider": "rfc2136", "server": "127.0.0.1"}
    assert ("dns.manage", "openstack has no dns") in [(one.about, one.because) for one in own.decisions()]

    update = names.message()
    update.replace(dns.name.from_text(host), 60, "A", "198.51.100.66")
    names.update(update)
    plan = engine(cloud, description, **settings).plan()
    assert not plan and [(one.key, one.change.field) for one in plan.drift] == [("record/api", "values")]

    bring(cloud, description, present=False, **settings)
    assert names.records() == before
    update = names.message()
    update.add(dns.name.from_text(host), 60, "A", "198.51.100.80")
    names.update(update)
    cloud.traffic.clear()
    assert f"{host} has records (A) that are not the cluster's own" in refused(cloud, description, **settings)


def test_zones_and_addresses(cloud: OpenStackBackend) -> None:
    """Machines of a pool are in zones in turn. One that is made anew has the address of the one before."""
    description = cloud.description()
    description["pools"][1]["count"] = 2
    first = {one.name: one for one in bring(cloud, description).outputs().machines}
    assert [first[name].failure_domain for name in ("worker-1", "worker-2")] == ["zone1", "zone2"]
    description["pools"][1]["native"] = {"openstack": {"flavor": "large"}}
    second = {one.name: one for one in bring(cloud, description).outputs().machines}
    assert second["worker-1"].id != first["worker-1"].id and second["worker-1"].size == "large"
    assert second["worker-1"].addresses == first["worker-1"].addresses
