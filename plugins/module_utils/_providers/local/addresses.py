# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address is which machine's. Pure: a machine keeps its address, and a new one gets the first that is free."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

# The first address is the controller's own; those after it are left for what is put there by hand.
FIRST = 10


def assign(cidr: str, machines: Iterable[str], own: Mapping[str, str], reserved: Iterable[str]) -> dict[str, str]:
    """own: machine -> address of those that exist. reserved: addresses that no machine may have.

    Machines that the network has no room for are in no answer.
    """
    names = list(machines)
    known = {name: own[name] for name in names if name in own}
    free = _free(cidr, {*own.values(), *reserved})
    fresh = dict(zip([name for name in names if name not in known], free))
    return {**known, **fresh}


def _free(cidr: str, taken: set[str]) -> Iterator[str]:
    network = ipaddress.ip_network(cidr)
    for position in range(FIRST, network.num_addresses - 1):
        address = str(network[position])
        if address not in taken:
            yield address
