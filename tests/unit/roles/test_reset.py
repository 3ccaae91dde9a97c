# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which a machine is emptied."""

from __future__ import annotations

from pathlib import Path

import yaml

ROLE = Path(__file__).parents[3] / "roles" / "reset"


def test_the_kubelet_is_stopped_before_containers_are_ended() -> None:
    """Containers are ended after the first unit: a kubelet that still runs would start them again."""
    units = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())["reset_units"]
    assert units[0] == "kubelet.service"
    assert units.index("containerd.service") > units.index("caravan-etcd-backup.timer")
