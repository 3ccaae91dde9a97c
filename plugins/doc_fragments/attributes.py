# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module's documentation says about itself."""

from __future__ import annotations


class ModuleDocFragment:
    """Descriptions of the attributes; each module states its own support of them."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode, and tells then truthfully what it would change, without changing it.
  diff_mode:
    description: Returns in diff mode what has changed, or what it would change in check mode.
  idempotent:
    description: When run twice in a row without outside changes, the second run changes nothing and says so.
"""
