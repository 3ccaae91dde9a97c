# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong between a module and the cluster's API."""

from __future__ import annotations


class KubernetesError(Exception):
    """The API refused, could not be reached, or did not become what was waited for."""


class ApiUnreachable(KubernetesError):
    """No answer, or one that says "later": worth asking again."""
