# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception class of this layer."""

from __future__ import annotations


class CertificateError(Exception):
    """A certificate could not be renewed, or what uses it was not well afterwards; the message says what was seen."""
