# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._certificates.config import parse
from rendering import HA_GROUPS, ROLES, Host

SETTINGS: dict[str, Any] = {"role_path": str(ROLES / "certificate_renewal")}
APART = HA_GROUPS | {"etcd": ["cp1", "cp2"]}


@pytest.mark.parametrize(
    ("begin", "stagger", "host", "calendar"),
    [
        ("03:00", 900, "cp1", "*-*-* 03:00:00 UTC"),
        ("03:00", 900, "cp3", "*-*-* 03:30:00 UTC"),
        ("23:50", 750, "cp2", "*-*-* 00:02:30 UTC"),
    ],
)
def test_hosts_have_their_turns(begin: str, stagger: int, host: str, calendar: str) -> None:
    settings = {"certificate_renewal_timer_begin": begin, "certificate_renewal_timer_stagger": stagger}
    role = Host("certificate_renewal", host, **SETTINGS, **settings)
    assert role.value("__certificate_renewal_calendar") == calendar
    assert f"OnCalendar={calendar}\n" in role.template("caravan-certificates.timer.j2")


def configuration(host: str) -> Any:
    return Host("certificate_renewal", host, groups=APART, **SETTINGS).value("__certificate_renewal_configuration")


def test_the_program_can_read_its_configuration() -> None:
    member = parse(
        Host("certificate_renewal", "cp2", groups=APART, **SETTINGS).value("__certificate_renewal_configuration")
    )
    assert (member.node, member.parts, member.site.local) == (
        "cp2",
        ["control_plane", "etcd"],
        "https://127.0.0.1:2379",
    )
    assert member.members == {"cp1": "https://cp1:2379", "cp2": "https://cp2:2379"}
    assert member.api_servers == {"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13"}
    other = parse(
        Host("certificate_renewal", "cp3", groups=APART, **SETTINGS).value("__certificate_renewal_configuration")
    )
    assert (other.parts, other.site.local) == (["control_plane"], "")


def test_the_program_runs_from_what_is_copied(tmp_path: Path) -> None:
    """Away from the collection and from Ansible, with no more than the files that a host gets."""
    role = Host("certificate_renewal", "cp1", **SETTINGS)
    library = Path(role.value("__certificate_renewal_library"))
    for file in role.value("__certificate_renewal_files"):
        if file["dest"].startswith(str(library)):
            path = tmp_path / Path(file["dest"]).relative_to(library.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
    settings = role.value("__certificate_renewal_configuration")
    (tmp_path / "settings.json").write_text(json.dumps(settings | {"parts": ["etcd"]}))
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from {library.name}._certificates.__main__ import main; "
        f"code = main(['--config', {str(tmp_path / 'settings.json')!r}, 'list', '--json']); "
        "sys.exit(code or any('ansible' in name for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout), list)
