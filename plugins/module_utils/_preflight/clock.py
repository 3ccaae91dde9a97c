# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a host's clock is from the controller's, and how sure that is.

The host read its clock somewhere between the controller's sending and receiving, so the middle of that span is the best
guess and half of it (less what the host itself spent) is the largest error.
"""

from __future__ import annotations

from typing import Any

# Seconds. Below this the guess needs no second reading; a wider error is doubtful only for a clock that seems off.
GOOD = 0.25


def compare(host: dict[str, float], sent: float, received: float) -> dict[str, float]:
    """The reading `{start, end}` of a host with the controller's `sent` and `received`, and `offset` and `error`."""
    middle = (host["start"] + host["end"]) / 2
    spent = max(0.0, host["end"] - host["start"])
    error = max(0.0, (received - sent - spent) / 2)
    return {
        **host,
        "sent": sent,
        "received": received,
        "offset": round(middle - (sent + received) / 2, 3),
        "error": round(error, 3),
    }


def doubtful(clock: dict[str, float], good: float = GOOD) -> bool:
    """Whether the clock seems off by more than is good, and the reading is too coarse to tell by how much."""
    return clock["error"] > good and abs(clock["offset"]) > good


def apart(clocks: dict[str, dict[str, Any]], limit: float) -> dict[str, float]:
    """The readings that are certainly more than `limit` seconds from the rest, with their differences.

    The controller is one of them, with offset 0. The rest is the middle reading; of two in the middle the one nearer to
    the controller's.
    """
    readings = sorted((clock["offset"], clock["error"], name) for name, clock in clocks.items())
    if len(readings) < 2:
        return {}
    low, high = readings[(len(readings) - 1) // 2], readings[len(readings) // 2]
    middle = min(low, high, key=lambda reading: abs(reading[0]))
    found = {}
    for offset, error, name in readings:
        difference = offset - middle[0]
        # Both readings of a difference may be coarse, the middle's as well as this one's.
        if abs(difference) - min(error + middle[1], limit) > limit:
            found[name] = round(difference, 3)
    return found
