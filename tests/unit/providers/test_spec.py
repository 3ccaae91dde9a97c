# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description: what it fills in, and one error for each mistake, all at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import InvalidError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.ownership import Ownership
from memory import DESCRIPTION


def changed(path: str, value: Any) -> dict[str, Any]:
    """The description with one value set, or taken out where it is None."""
    found = copy.deepcopy(DESCRIPTION)
    *way, last = path.split(".")
    place: Any = found
    for step in way:
        place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


def test_defaults_are_filled_in() -> None:
    spec = spec_read.read(DESCRIPTION)
    assert spec.pools[0].machines() == ["cp-1", "cp-2", "cp-3"]
    assert (spec.pools[0].architecture, str(spec.pools[0].image)) == ("amd64", "debian/12")
    assert spec.endpoint.port == 6443
    assert spec.pool("worker-2").name == "worker"


def test_the_ids_follow_from_name_and_endpoint() -> None:
    spec, twin = (spec_read.read(changed("endpoint.host", host)) for host in ("api.a.example", "api.b.example"))
    assert spec.name == twin.name
    assert spec.uid != twin.uid and spec.infra_id != twin.infra_id
    assert Ownership.of(spec).owns(Ownership.of(spec).tags("worker-1"))
    assert not Ownership.of(spec).owns(Ownership.of(twin).tags("worker-1"))


def test_one_tag_alone_owns_nothing() -> None:
    own = Ownership.of(spec_read.read(DESCRIPTION))
    tags = own.tags("worker-1")
    for tag in own.identifying():
        assert not own.owns({key: value for key, value in tags.items() if key != tag})


MISTAKES = [
    ("name", "Demo", "name is 'Demo'; wanted a DNS label"),
    ("network.cidr", "10.0.0.1/16", "cidr is '10.0.0.1/16'; wanted a network"),
    ("network.apart", ["10.0.0.0/8"], "networks: 10.0.0.0/16 and 10.0.0.0/8 overlap"),
    ("network.cidr", None, "cidr is not set"),
    ("endpoint.host", "API", "host is 'API'; wanted a DNS name"),
    ("endpoint.mode", "ballancer", "mode is 'ballancer'; wanted balancer; change infrastructure_endpoint.mode"),
    ("pools.0.roles", ["etcd", "contol_plane"], "pool cp: roles has 'contol_plane'; wanted control_plane"),
    ("pools.0.roles", [], "pool cp: roles is empty"),
    ("pools.0.cpus", 2, "pool cp: cpus is no setting; wanted cpu; change infrastructure_pools[0].cpus"),
    ("pools.0.count", 4, "4 machines have the role etcd; wanted 1, 3, 5 or 7"),
    ("pools.0.count", "many", "pool cp: count is 'many'; wanted a whole number"),
    ("pools.1.name", "cp", "name is 'cp', which another pool has too"),
    ("pools.0.root_disk.size_gib", 0, "pool cp, root_disk: size_gib is 0"),
    ("pools.1.data_disks.0.size_gib", None, "pool worker, disk data: size_gib is not set"),
    ("identities", [{"name": "nodes", "pools": ["wrker"], "grants": []}], "pools has 'wrker', which is no pool"),
    (
        "identities",
        [{"name": "n", "pools": [], "grants": ["dns.wirte"]}],
        "grants has 'dns.wirte'; wanted dns.write",
    ),
    (
        "buckets",
        [{"name": "b", "versioning": False, "lock_days": 3}],
        "bucket b: versioning is false, and lock_days",
    ),
    ("dns", {"zone": "example.com"}, "zone is 'example.com', the endpoint api.demo.example.org"),
    ("pool", [], "description: pool is no setting; wanted pools; change infrastructure_pool"),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES, ids=[f"{path}-{value}" for path, value, _ in MISTAKES])
def test_a_mistake_has_one_clear_error(path: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        spec_read.read(changed(path, value))
    assert len(caught.value.problems) == 1, str(caught.value)
    assert message in str(caught.value)


def test_all_mistakes_are_reported_at_once() -> None:
    description = changed("name", "Demo")
    description["pools"][0]["cpu"] = 0
    with pytest.raises(InvalidError, match="2 problems found"):
        spec_read.read(description)


def test_networks_that_overlap() -> None:
    found = spec_read.overlapping({"a": "10.0.0.0/16", "b": "10.0.4.0/24", "c": "10.1.0.0/16"})
    assert [str(problem) for problem in found] == [
        "networks: 10.0.0.0/16 and 10.0.4.0/24 overlap; wanted networks apart; change a"
    ]
