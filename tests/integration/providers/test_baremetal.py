# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only machines of one's own have: claims, power, installation media, and their own ways to go wrong."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.name
import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import InvalidError, TransientError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.executor import ApplyError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from ansible_collections.caravan.cluster.plugins.module_utils._providers.planner import Options
from baremetal_backend import VIP, ZONE, BaremetalBackend

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "providers-baremetal.md"
PATIENCE = Patience(limit=20, first=0.05, longest=0.2)


@pytest.fixture(scope="module")
def started() -> Iterator[BaremetalBackend]:
    site = BaremetalBackend()
    yield site
    site.stop()


@pytest.fixture
def site(started: BaremetalBackend) -> BaremetalBackend:
    started.reset()
    return started


def engine(site: BaremetalBackend, description: dict[str, Any] | None = None, **settings: Any) -> Engine:
    strategy = site.strategy(description or site.description(), **settings)
    return Engine(strategy, patience=PATIENCE, reading=Patience(limit=1, first=0.05))


def bring(site: BaremetalBackend, description: dict[str, Any] | None = None, **settings: Any) -> Engine:
    own = engine(site, description, **settings)
    own.validate()
    own.apply(own.plan())
    own.observe()
    return own


def refused(site: BaremetalBackend, description: dict[str, Any] | None = None, **settings: Any) -> str:
    """What the refusal says. Nothing has been changed, and no secret is told."""
    site.traffic.clear()
    with pytest.raises(InvalidError) as caught:
        own = engine(site, description, **settings)
        own.validate()
        own.plan()
    assert site.traffic.mutating == []
    text = str(caught.value)
    for secret in (*site.secrets().values(), "wrong"):
        assert secret not in text
    return text


def test_a_machine_is_started_from_the_network_once_and_has_a_name(site: BaremetalBackend) -> None:
    own = bring(site)
    server = own.world["machine/worker-1"].id
    assert server.startswith("middle-"), "the smallest that has the disk"
    assert site.controllers.is_on(server) and site.controllers.boots_from(server) == "Pxe"
    assert site.names.records()[(f"api.demo.{ZONE}", "A")] == [VIP]
    found = own.outputs()
    assert found.endpoint == {"host": f"api.demo.{ZONE}", "port": 6443, "mode": "vip", "address": VIP}
    assert {decision.about for decision in own.decisions()} == {
        "endpoint.mode",
        "buckets",
        "buckets[].lock_days",
        "identities",
        "keys",
    }


def test_what_others_switched_off_is_switched_on_and_not_installed_again(site: BaremetalBackend) -> None:
    own = bring(site)
    server = own.world["machine/worker-1"].id
    site.controllers.reset()
    again = engine(site)
    again.apply(again.plan(options=Options(revert_drift=True)))
    assert site.controllers.is_on(server) and site.controllers.boots_from(server) == "Hdd"


def is_on(site: BaremetalBackend, server: str) -> None:
    if not site.controllers.is_on(server):
        raise TransientError(f"{server} is off")


def test_an_interrupted_run_does_not_install_a_machine_twice(site: BaremetalBackend) -> None:
    """It ends when the server has been started, and before that is written down."""
    description = site.description()
    description["pools"][1]["count"] = 0
    site.traffic.clear()
    bring(site, description)
    calls = [name.rpartition("/")[2] for name in site.traffic.mutating]
    site.reset()
    site.traffic.crash_after(calls.index("ComputerSystem.Reset") + 1)
    with pytest.raises(ApplyError):
        bring(site, description)
    site.traffic.calm()
    server = "small-1"
    PATIENCE(lambda attempts: is_on(site, server))
    assert site.controllers.boots_from(server) == "Pxe"
    site.controllers.forget_medium(server)
    bring(site, description)
    site.controllers.set_power(server, False)
    again = engine(site, description)
    again.apply(again.plan(options=Options(revert_drift=True)))
    assert site.controllers.is_on(server) and site.controllers.boots_from(server) == "Hdd"


def test_a_server_in_use_is_never_taken(site: BaremetalBackend) -> None:
    """One that is on and has no claim may be anybody's."""
    site.controllers.set_power("small-1", True)
    text = refused(site)
    assert "server small-1: is on, and no cluster has claimed it; wanted off" in text


def test_two_clusters_that_want_the_same_server_do_not_share_it(site: BaremetalBackend) -> None:
    """Both plan before either acts. DNS carries out the claim of one of them."""
    other = site.description()
    other["endpoint"] = {"host": f"api.other.{ZONE}"}
    one, two = engine(site), engine(site, other)
    plans = one.plan(), two.plan()
    one.apply(plans[0])
    with pytest.raises(ApplyError, match="has been claimed by somebody else"):
        two.apply(plans[1])
    one.observe()
    assert site.controllers.is_on(one.world["machine/cp-1"].id)
    two = bring(site, other)
    servers = [own.world[f"machine/{name}"].id for own in (one, two) for name in ("cp-1", "worker-1")]
    assert len(set(servers)) == 4


def test_a_name_that_others_have_is_not_taken(site: BaremetalBackend) -> None:
    update = site.names.message()
    update.add(dns.name.from_text(f"api.demo.{ZONE}"), 60, "A", "198.51.100.1")
    site.names.update(update)
    assert f"dns: api.demo.{ZONE} has records (A) that are not the cluster's own" in refused(site)


def test_a_server_with_a_machine_has_to_stay_listed(site: BaremetalBackend) -> None:
    server = bring(site).world["machine/worker-1"].id
    listed = [one for one in site.settings()["servers"] if one["name"] != server]
    assert f"server {server}: is machine worker-1, and is not listed" in refused(site, servers=listed)


def wrong_secret(site: BaremetalBackend, **changes: str) -> dict[str, Any]:
    return {"secrets": {**site.secrets(), **changes}}


def test_wrong_credentials(site: BaremetalBackend) -> None:
    text = refused(site, **wrong_secret(site, bmc_password="wrong"))
    assert "change infrastructure_settings.bmc.username and infrastructure_secrets.bmc_password" in text
    text = refused(site, **wrong_secret(site, tsig="d3Jvbmc="))
    assert "change infrastructure_settings.dns and infrastructure_secrets.tsig" in text
    assert "Traceback" not in text
    text = refused(site, bmc={"username": "caravan"})
    assert "certificate" in text.lower() and "infrastructure_settings.servers[" in text


def test_a_controller_that_does_not_answer(site: BaremetalBackend) -> None:
    servers = [{**one, "bmc": f"https://127.0.0.1:{free_port()}"} for one in site.settings()["servers"]]
    text = refused(site, servers=servers)
    assert "server small-1: (https://127.0.0.1:" in text
    assert "wanted the address, the system and the certificate of its controller" in text
    assert "change infrastructure_settings.servers[small-1]" in text


def test_a_zone_that_the_server_does_not_have(site: BaremetalBackend) -> None:
    dns = {**site.settings()["dns"], "zone": "nobody.org"}
    assert "transfer of nobody.org" in refused(site, dns=dns)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("size", {"cpu": 128}, "machine worker-1: no free server has 128 CPUs, 8 GiB, amd64, a standard disk of 100 GiB"),
    ("disk", {"data_disks": [{"name": "data", "size_gib": 9000}]}, "a standard disk of 9000 GiB; wanted what one of"),
    ("count", {"count": 99}, "machine worker-99: no free server has"),
    ("preemptible", {"preemptible": True}, "preemptible needs preemptible, which baremetal lacks"),
]


@pytest.mark.parametrize(("pool", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_no_server_has(site: BaremetalBackend, pool: dict[str, Any], message: str) -> None:
    description = site.description()
    description["pools"][1].update(pool)
    assert message in refused(site, description)


def test_places_and_addresses_are_checked_offline(site: BaremetalBackend) -> None:
    text = refused(site, site.description(failure_domains=["rack-9"]))
    assert "has 'rack-9'; wanted rack-" in text
    servers = site.settings()["servers"]
    servers[0]["address"] = "192.0.2.1"
    servers[1]["address"] = servers[2]["address"]
    endpoint = {**site.description()["endpoint"], "mode": "balancer"}
    assert "endpoint.mode needs balancer, which baremetal lacks" in refused(site, site.description(endpoint=endpoint))
    text = refused(site, servers=servers, vip="")
    assert "server small-1: address is 192.0.2.1; wanted an address in infrastructure_network.cidr" in text
    assert f"server small-3: address is {servers[2]['address']}, which server small-2 has too" in text
    assert "settings: vip is not set" in text


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def images(tmp_path: Path) -> Iterator[str]:
    """An HTTP server with an image for one machine alone."""
    (tmp_path / "cp-1-debian-12.iso").write_bytes(b"an image")
    handler = functools.partial(Silent, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_machine_is_installed_from_its_own_image(site: BaremetalBackend, images: str) -> None:
    boot = {"method": "virtual_media", "image": images + "/{machine}-{image}.iso"}
    description = site.description()
    description["pools"][1]["count"] = 0
    own = bring(site, description, boot=boot)
    server = own.world["machine/cp-1"].id
    assert site.controllers.boots_from(server) == "Cd"
    assert site.controllers.image_of(server) == f"{images}/cp-1-debian-12.iso"
    own = engine(site, description, boot=boot)
    own.apply(own.plan(present=False))
    assert not site.controllers.is_on(server) and site.controllers.image_of(server) == ""


def test_an_image_that_is_not_there_is_told(site: BaremetalBackend, images: str) -> None:
    boot = {"method": "virtual_media", "image": images + "/{machine}-{image}.iso"}
    with pytest.raises(ApplyError, match=r"machine/worker-1: .*server middle-"):
        bring(site, boot=boot)
    description = site.description()
    description["pools"][1]["count"] = 0
    bring(site, description, boot=boot)


def test_the_documented_requests_are_all_there_are(site: BaremetalBackend, images: str) -> None:
    boot = {"method": "virtual_media", "image": images + "/{machine}-{image}.iso"}
    description = site.description()
    description["pools"][1]["count"] = 0
    site.traffic.clear()
    bring(site, description, boot=boot)
    own = engine(site, description, boot=boot)
    own.apply(own.plan(present=False))
    ids = "|".join(site.controllers.ids.values())
    made = {re.sub(rf"(?<=/)({ids})(?=/|$)", "<id>", name) for name in site.traffic.mutating if "/redfish" in name}
    made = {re.sub(r"VirtualMedia/\w+", "VirtualMedia/<drive>", name) for name in made}
    documented = set(re.findall(r"`((?:PATCH|POST) /redfish[^`]+)`", DOCUMENT.read_text()))
    assert made == documented
    assert {name.split()[0] for name in site.traffic.mutating} <= {"PATCH", "POST", "UPDATE"}
