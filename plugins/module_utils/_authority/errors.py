# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception class of this layer."""

from __future__ import annotations


class AuthorityError(Exception):
    """Going on could lock a component out, or something did not happen in time; the message says what to do."""
