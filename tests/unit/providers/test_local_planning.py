# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Local machines without podman: addresses, settings, and what is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._podman.client import Podman
from ansible_collections.caravan.cluster.plugins.module_utils._podman.nodes import Machine
from ansible_collections.caravan.cluster.plugins.module_utils._podman.ssh import Keys
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.local.addresses import assign
from ansible_collections.caravan.cluster.plugins.module_utils._providers.local.strategy import Local

CIDR = "10.98.60.0/24"


def test_addresses_are_given_in_order_and_kept() -> None:
    assert assign(CIDR, ["a", "b"], {}, []) == {"a": "10.98.60.10", "b": "10.98.60.11"}
    own = {"b": "10.98.60.10", "gone": "10.98.60.12"}
    assert assign(CIDR, ["a", "b", "c"], own, ["10.98.60.11"]) == {
        "a": "10.98.60.13",
        "b": "10.98.60.10",
        "c": "10.98.60.14",
    }


def test_a_network_that_is_full_has_no_address_for_the_rest() -> None:
    names = [f"m{number}" for number in range(40)]
    known = assign("10.98.60.0/27", names, {}, [])
    assert len(known) == 21 and known["m20"] == "10.98.60.30"


def strategy(count: int = 1, **settings: Any) -> Local:
    pool = {"name": "worker", "roles": ["worker"], "count": count, "cpu": 2, "memory_gib": 8}
    disks = {"root_disk": {"size_gib": 20}, "data_disks": [{"name": "data", "size_gib": 5}]}
    description = {
        "name": "demo",
        "network": {"cidr": CIDR},
        "endpoint": {"host": "api.example.org"},
        "pools": [{**pool, **disks}],
        "access": {"authorized_keys": ["ssh-ed25519 AAAA test"]},
    }
    return Local(spec_read.read(description), {"ssh_directory": "ssh", **settings})


def test_a_mirror_is_one_machine_more_and_known_to_all() -> None:
    wanted = {one.key: one.properties for one in strategy().desired(["local"])}
    assert sorted(wanted) == ["machine/worker-1", "network/main", "volume/worker-1-data"]
    assert wanted["machine/worker-1"]["names"] == {} and wanted["network/main"]["internal"] is False
    own = strategy(mirror={"name": "mirror.test", "directory": "artifacts"})
    wanted = {one.key: one.properties for one in own.desired(["local"])}
    assert wanted["machine/mirror-1"]["mounts"] == ["artifacts:/srv/mirror:ro"]
    assert wanted["machine/worker-1"]["names"] == {"mirror.test": "10.98.60.11"}
    assert wanted["machine/worker-1"]["mounts"] == []


@pytest.mark.parametrize(("count", "right"), [(244, True), (245, False)])
def test_more_machines_than_addresses_are_refused(count: int, right: bool) -> None:
    problems = strategy(count).validate()
    assert ([problem.subject for problem in problems] == []) is right


def test_known_hosts_has_what_there_is(tmp_path: Any) -> None:
    keys = Keys(str(tmp_path / "ssh"), Podman("containers.conf"))
    for name, address in (("b", "10.98.60.11"), ("a", "10.98.60.10"), ("a", "10.98.60.12")):
        keys.add(Machine(name, address))
    lines = (tmp_path / "ssh" / "known_hosts").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["a,10.98.60.12", "b,10.98.60.11"]
    assert (tmp_path / "ssh" / "hosts" / "a").stat().st_mode & 0o777 == 0o600
    keys.remove("a")
    assert [line.split(",")[0] for line in (tmp_path / "ssh" / "known_hosts").read_text().splitlines()] == ["b"]
    assert not (tmp_path / "ssh" / "hosts" / "a").exists()
    keys.remove("never-there")
