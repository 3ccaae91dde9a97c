# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make `ansible_collections.caravan.cluster` importable from the checkout.

The `ansible` package installs a regular package of that name, which would hide ours; Ansible's own finder merges both.
"""

from __future__ import annotations

from pathlib import Path

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

REPOSITORY = Path(__file__).resolve().parent.parent
COLLECTIONS = REPOSITORY / ".caravan" / "collections"

_AnsibleCollectionFinder(paths=[str(COLLECTIONS)])._install()
