# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, in words for the operator."""

from __future__ import annotations


class BackupError(Exception):
    """Something about a backup is not as it has to be. The text says what was seen and what was wanted."""


class StoreError(BackupError):
    """A store did not do what it was asked for."""


class CommandError(BackupError):
    """A program ended with an error, or did not end in time."""
