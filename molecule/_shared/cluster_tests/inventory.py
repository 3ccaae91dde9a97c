# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's inventory, read the way Ansible reads it, templates resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.vars.manager import VariableManager


class MissingVariableError(LookupError):
    """A host lacks a variable that the tests need."""


@dataclass(frozen=True)
class Inventory:
    """Hosts by group, and every host's variables."""

    groups: Mapping[str, tuple[str, ...]]
    _managers: tuple[DataLoader, InventoryManager, VariableManager]

    def hosts(self, *groups: str) -> tuple[str, ...]:
        """Return the hosts of the groups, each once, in inventory order."""
        return tuple(dict.fromkeys(host for group in groups for host in self.groups.get(group, ())))

    def value(self, host: str, name: str, default: Any = None) -> Any:
        """Return a resolved variable; without it and without a default, raise MissingVariableError."""
        loader, manager, variables = self._managers
        values = variables.get_vars(host=manager.get_host(host), include_hostvars=False)
        if name not in values:
            if default is None:
                raise MissingVariableError(f"{host}: {name} is not set in the inventory")
            return default
        return Templar(loader=loader, variables=values).template(values[name])


def load(*sources: Path) -> Inventory:
    """Read one or more inventory sources, later ones adding to earlier ones."""
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()
    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(source) for source in sources])
    variables = VariableManager(loader=loader, inventory=manager)
    groups = {name: tuple(str(host) for host in hosts) for name, hosts in manager.get_groups_dict().items()}
    return Inventory(groups, (loader, manager, variables))
