# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure text operations of the `files` module."""

from __future__ import annotations


def replace_block(text: str, name: str, content: str) -> str:
    """Return `text` with the block `name` holding `content`.

    The block is found by its two marker lines and replaced in place, or appended where it is missing.
    Empty `content` removes the block and its markers. A begin marker without its end is a `ValueError`:
    guessing where the block ends could delete lines that belong to someone else.
    """
    begin, end = f"# BEGIN {name}", f"# END {name}"
    lines = text.splitlines()
    block = [begin, *content.rstrip("\n").splitlines(), end] if content.strip() else []
    starts = [i for i, line in enumerate(lines) if line.strip() == begin]
    ends = [i for i, line in enumerate(lines) if line.strip() == end]
    if not starts and not ends:
        lines += block
    elif len(starts) == len(ends) == 1 and starts[0] < ends[0]:
        lines[starts[0] : ends[0] + 1] = block
    else:
        raise ValueError(f"the markers '{begin}' and '{end}' must stand once each and in this order")
    return "".join(f"{line}\n" for line in lines)


def describe(mode: str | None, owner: str | None, group: str | None) -> str:
    """The attribute line shown at the top of each side of a diff."""
    return f"[mode {mode or '-'} owner {owner or '-'} group {group or '-'}]\n"
