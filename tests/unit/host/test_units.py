# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._host.units import is_outdated, parse_show, plan

RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "StateChangeTimestampMonotonic": "100000000",
}
NEW = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "disabled"}


def test_paragraphs_belong_to_the_names_in_the_order_asked_even_for_an_alias() -> None:
    shown = parse_show(
        "Id=chrony.service\nActiveState=active\n\nId=a.service\nActiveState=failed\n", ["chronyd.service", "a.service"]
    )
    assert shown["chronyd.service"]["ActiveState"] == "active"
    assert shown["a.service"]["ActiveState"] == "failed"


def test_an_answer_about_another_number_of_units_is_refused() -> None:
    with pytest.raises(ValueError, match="1 units, 2 were asked"):
        parse_show("Id=a.service\n", ["a.service", "b.service"])


@pytest.mark.parametrize(
    ("ages", "outdated"),
    [
        ([], False),
        ([200.0], False),  # written before the start, 50 s ago
        ([200.0, 20.0], True),
        ([-3600.0], False),  # the clock was set back since
    ],
)
def test_a_unit_is_outdated_when_a_file_is_younger_than_its_last_start(ages: list[float], outdated: bool) -> None:
    assert is_outdated(RUNNING, ages, monotonic_now=150.0) is outdated


def test_a_unit_that_does_not_run_is_not_outdated() -> None:
    assert not is_outdated({**RUNNING, "ActiveState": "failed"}, [1.0], monotonic_now=150.0)


@pytest.mark.parametrize(
    ("wanted", "unit", "verbs"),
    [
        ({"enabled": True, "state": "started"}, RUNNING, []),
        ({"enabled": True, "state": "started"}, NEW, ["enable", "start"]),
        ({"enabled": False, "state": "stopped"}, RUNNING, ["stop", "disable"]),
        ({"enabled": False, "state": "stopped"}, NEW, []),
        ({"enabled": True}, {**NEW, "UnitFileState": "static"}, []),
        ({"state": "started"}, {**RUNNING, "ActiveState": "failed"}, ["start"]),
        ({"masked": True}, {**NEW, "UnitFileState": "static"}, ["mask"]),
        ({"masked": True}, {"LoadState": "masked", "UnitFileState": "masked"}, []),
        ({"masked": False}, {"LoadState": "masked", "UnitFileState": "masked"}, ["unmask"]),
        ({}, NEW, []),
    ],
)
def test_plan(wanted: dict, unit: dict[str, str], verbs: list[str]) -> None:
    assert plan(wanted, unit) == verbs
