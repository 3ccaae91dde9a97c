# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns that no timer can have are refused before anything is done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._preflight import certificates
from ansible_collections.caravan.cluster.plugins.module_utils._preflight.problem import Problem

GOOD = {
    "certificate_renewal_timer_enabled": True,
    "certificate_renewal_timer_begin": "23:50",
    "certificate_renewal_timer_stagger": 900,
}


def problems(**changes: Any) -> list[Problem]:
    hosts = ["cp1", "cp2", "cp3"]
    return list(certificates.check(hosts, {"cp1": {**GOOD, **changes}, "cp2": GOOD}))


def test_good_settings_pass() -> None:
    assert problems() == []
    assert problems(certificate_renewal_timer_stagger=28800) == []


def test_what_is_not_enabled_is_not_looked_at() -> None:
    assert problems(certificate_renewal_timer_enabled=False, certificate_renewal_timer_stagger=0) == []


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("certificate_renewal_timer_begin", "24:00", "is '24:00'"),
        ("certificate_renewal_timer_begin", "3", "is '3'"),
        ("certificate_renewal_timer_stagger", 0, "is 0 with 3 hosts"),
        ("certificate_renewal_timer_stagger", 28801, "is 28801 with 3 hosts"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: Any, seen: str) -> None:
    (problem,) = problems(**{name: value})
    assert (problem.host, problem.seen, problem.change) == ("cp1", f"{name} {seen}", name)
