# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of this layer."""

from __future__ import annotations


class ArtifactError(Exception):
    """Something about an artifact that a person has to know; its text is shown as it is."""
