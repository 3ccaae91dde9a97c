# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application credential with the rules in docs/providers-openstack-rules.json is enough, and has none too many.

Every service checks the rules of such a credential itself: what no rule allows is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import ProviderError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.planner import Options
from openstack_backend import OpenStackBackend
from openstack_cloud.configuration import SERVICES

pytestmark = pytest.mark.long

RULES = Path(__file__).resolve().parents[3] / "docs" / "providers-openstack-rules.json"
PASSWORD = ("OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME", "OS_USER_DOMAIN_ID", "OS_PROJECT_DOMAIN_ID")
Rules = Sequence[dict[str, str]]


@pytest.fixture
def cloud(one_cloud: OpenStackBackend) -> OpenStackBackend:
    one_cloud.reset()
    return one_cloud


def restrict(cloud: OpenStackBackend, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on there is no password any more."""
    for name, value in cloud.restricted(rules).items():
        monkeypatch.setenv(name, value)
    for name in PASSWORD:
        monkeypatch.delenv(name)
    cloud.traffic.clear()


def engine(cloud: OpenStackBackend, description: dict[str, Any]) -> Engine:
    own = Engine(cloud.strategy(description), patience=cloud.patience, reading=cloud.patience)
    own.validate()
    return own


def bring(cloud: OpenStackBackend, description: dict[str, Any], present: bool = True, revert: bool = False) -> Engine:
    own = engine(cloud, description)
    data = frozenset(one.key for one in own.observe() if own.handlers[one.kind].kind.keeps_data)
    own.apply(own.plan(present, Options(delete_data=frozenset() if present else data, revert_drift=revert)))
    return own


def rule(name: str) -> str:
    """A request of the traffic's log as a rule: `compute GET /**v2.1/servers/{id}`."""
    method, path = name.split(" ")
    _, first, rest = path.split("/", 2)
    service = next(type for type, prefix in SERVICES.values() if prefix == f"/{first}")
    return f"{service} {method} /**{rest.replace('*', '{id}')}"


def test_the_documented_rules_are_what_is_used(cloud: OpenStackBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster comes, is changed by others, repaired, grown, looked at and taken away."""
    rules = json.loads(RULES.read_text())
    before = cloud.everything()
    restrict(cloud, rules, monkeypatch)
    description = cloud.description()
    # One image by its id, the other by its properties.
    image = cloud.admin.image.find_image("Debian 12").id
    description["pools"][0]["native"] = {"openstack": {"image": image}}
    own = bring(cloud, description)
    for drifted in cloud.drifts(own):
        if not drifted.lasting:
            drifted.change()
    assert engine(cloud, description).plan().drift
    bring(cloud, description, revert=True)
    description["pools"][1]["data_disks"] = [{"name": "data", "size_gib": 200}]
    machine = bring(cloud, description).outputs().machines[0]
    assert "FAKE CONSOLE" in cloud.strategy(description).console(machine.id)
    bring(cloud, description, present=False)
    assert cloud.everything() == before
    used = {rule(one.name) for one in cloud.traffic.requests if not re.match(r"\w+ /identity/", one.name)}
    known = {f"{one['service']} {one['method']} {one['path']}" for one in rules}
    assert used - known == set(), "used, and not in the rules"
    assert known - used == set(), "in the rules, and not used"


def test_what_no_rule_allows_is_refused(cloud: OpenStackBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would show nothing."""
    rules = json.loads(RULES.read_text())
    listing = {"service": "network", "method": "GET", "path": "/**v2.0/routers"}
    assert listing in rules
    restrict(cloud, [one for one in rules if one != listing], monkeypatch)
    with pytest.raises(ProviderError, match="routers: 401"):
        engine(cloud, cloud.description()).plan()
    assert cloud.traffic.mutating == []
