# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module's documentation says about itself."""

from __future__ import annotations


class ModuleDocFragment:
    """What every module of this collection promises. One that promises less says so in `attributes` of its own."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and tells what it would change, without changing it.
    support: full
  diff_mode:
    description: Returns what has changed, or would change, in diff mode.
    support: full
  idempotent:
    description: A second run with the same arguments changes nothing.
    support: full
"""
