# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
TABLE = yaml.safe_load((REPOSITORY / "roles" / "node" / "vars" / "main" / "ports.yml").read_text())["__node_ports"]


def test_the_page_on_ports_is_what_the_table_says() -> None:
    found = subprocess.run(
        [sys.executable, "scripts/ports", "--check"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_names_are_unique_and_short_enough_for_a_comment_of_nftables() -> None:
    names = [entry["name"] for entry in TABLE]
    assert len(set(names)) == len(names)
    assert all(len(name) < 64 and '"' not in name for name in names)


def test_every_entry_says_why() -> None:
    assert all(entry["why"] for entry in TABLE)
