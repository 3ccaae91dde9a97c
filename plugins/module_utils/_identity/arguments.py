# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's own certificates say, as arguments. Documented in doc_fragments/identity.py."""

from __future__ import annotations

from typing import Any

from .crypto import ALGORITHMS

LEAVES: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "extra_names": {"type": "list", "elements": "str", "default": []},
    "key_algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": "ecdsa-p256", "no_log": False},
    "leaf_validity_days": {"type": "float", "default": 365},
}
