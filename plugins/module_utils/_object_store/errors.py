# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, in words for the operator."""

from __future__ import annotations


class ObjectStoreError(Exception):
    """The server did not do what it was asked for, or is asked for what cannot be."""
