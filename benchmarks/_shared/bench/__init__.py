# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share. Importing it puts the tests' helpers and the collection's plugins within reach."""

from __future__ import annotations

import os
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2]
REPOSITORY = BENCHMARKS.parent
INVENTORIES = BENCHMARKS / "inventories"

for _directory in ("molecule/_shared", "tests/integration", "tests/integration/backup"):
    sys.path.insert(0, str(REPOSITORY / _directory))
os.environ["PWD"] = str(REPOSITORY)
os.environ["ANSIBLE_CONFIG"] = str(REPOSITORY / "ansible.cfg")

from ansible.plugins.loader import init_plugin_loader  # noqa: E402  (it reads the configuration set above)
from ansible.utils.collection_loader import AnsibleCollectionConfig  # noqa: E402

if AnsibleCollectionConfig.collection_finder is None:
    init_plugin_loader()
