# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the hosts' timers for certificates can have their turns, one after another, within a day. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .problem import Problem
from .spec import shown

ENABLED = "certificate_renewal_timer_enabled"
BEGIN = "certificate_renewal_timer_begin"
STAGGER = "certificate_renewal_timer_stagger"
READ = (ENABLED, BEGIN, STAGGER)
DAY = 86400
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def check(hosts: Sequence[str], values: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """`hosts`: those of the groups etcd and control_plane; values by host."""
    for host in hosts:
        own = values.get(host, {})
        if not own.get(ENABLED):
            continue
        begin, stagger = own.get(BEGIN), own.get(STAGGER)
        if isinstance(begin, str) and not CLOCK.fullmatch(begin):
            wanted = "hours and minutes of the day, from 00:00 to 23:59"
            yield Problem(host, f"{BEGIN} is {shown(begin)}", wanted, BEGIN)
        if isinstance(stagger, int) and not 60 <= stagger <= DAY // len(hosts):
            wanted = f"from 60 to {DAY // len(hosts)}, so that all hosts have their turns within a day"
            yield Problem(host, f"{STAGGER} is {stagger} with {len(hosts)} hosts", wanted, STAGGER)
