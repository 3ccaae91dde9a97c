# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render what a role would put on a host: its defaults and vars, an inventory as plain data, Ansible's templar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).resolve().parents[3] / "roles"

HA_HOSTS = {
    "cp1": "10.0.0.11",
    "cp2": "10.0.0.12",
    "cp3": "10.0.0.13",
    "worker1": "10.0.0.21",
    "worker2": "10.0.0.22",
}
HA_GROUPS = {
    "cluster": list(HA_HOSTS),
    "etcd": ["cp1", "cp2", "cp3"],
    "control_plane": ["cp1", "cp2", "cp3"],
    "worker": ["worker1", "worker2"],
}


def trusted(value: Any) -> Any:
    """Return `value` with every string in it marked as a template, as Ansible marks what it reads from files."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return value


class Host:
    """One host of an inventory, seen by one role."""

    def __init__(
        self,
        role: str,
        name: str,
        hosts: dict[str, str] | None = None,
        groups: dict[str, list[str]] | None = None,
        os_family: str = "Debian",
        **settings: Any,
    ) -> None:
        hosts, groups = hosts or HA_HOSTS, groups or HA_GROUPS
        variables: dict[str, Any] = {}
        for file in ("cluster/defaults/main", f"{role}/defaults/main", "cluster/vars/main", f"{role}/vars/main"):
            for path in (ROLES / f"{file}.yml", *sorted((ROLES / file).glob("*.yml"))):
                if path.exists():
                    variables |= trusted(yaml.safe_load(path.read_text()) or {})
        distribution = ROLES / role / "vars" / f"{os_family}.yml"
        if distribution.exists():
            variables |= trusted(yaml.safe_load(distribution.read_text()))
        variables |= {
            "cluster_name": "demo",
            "cluster_endpoint": "api.demo.example",
            "cluster_node_cidrs": ["10.0.0.0/24"],
            "groups": groups,
            "group_names": sorted(group for group, members in groups.items() if name in members),
            "hostvars": {host: {"ansible_host": address} for host, address in hosts.items()},
            "inventory_hostname": name,
            "ansible_host": hosts[name],
            "ansible_facts": {"os_family": os_family},
            "ansible_managed": "Managed",
            **trusted(settings),
        }
        self.role = ROLES / role
        self.templar = Templar(DataLoader(), variables=variables)
        self.templar.environment.loader.searchpath = [str(self.role / "templates")]

    def value(self, expression: str) -> Any:
        return self.templar.template(trust_as_template("{{ " + expression + " }}"))

    def template(self, name: str) -> str:
        text = (self.role / "templates" / name).read_text()
        return str(self.templar.template(trust_as_template(text), overrides={"trim_blocks": True}))
