# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: machines
short_description: The machines of a cluster at its provider
version_added: 0.3.0
description:
  - The machines that M(caravan.cluster.infrastructure) has made, found by the cluster's two ownership tags, in the
    groups of their roles and in one of their pool, C(pool_NAME).
  - Which cluster and which provider it is, and the pools' labels and taints, it takes from the variables of the
    inventory directory that its file is in.
  - Every host has C(ansible_host), C(cluster_node_address), C(cluster_node_provider_id),
    C(cluster_node_provider_addresses), C(infrastructure_machine) (one entry of the machines that
    M(caravan.cluster.infrastructure) returns) and the labels and taints of its pool. Where the provider's cloud
    controller wants nodes to be called as the machines are there, C(cluster_node_name) is that name.
  - The group C(all) has C(cluster_cloud_controller) and C(cluster_storage_classes), and C(api_endpoint_vip) where the
    provider has chosen the address that the control-plane nodes pass on among themselves.
  - Where no machine has been made yet there are groups without hosts.
author:
  - Caravan contributors (@caravan-cluster)
extends_documentation_fragment:
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    choices: [caravan.cluster.machines]
    required: true
  variables:
    description: Where the variables are, from the directory of the inventory file; a directory or a file.
    type: str
    default: group_vars/all
  address:
    description: The address to connect to. V(auto) is the one that can be reached from outside, where there is one.
    type: str
    choices: [auto, internal, external]
    default: auto
"""

EXAMPLES = r"""
# inventories/prod/machines.yml, beside group_vars/all
plugin: caravan.cluster.machines
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: .caravan/inventory
cache_timeout: 300
"""

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable

from ..module_utils._providers import registry, spec_read
from ..module_utils._providers.engine import Engine
from ..module_utils._providers.errors import ProviderError
from ..module_utils._providers.spec import ROLES

COLLECTION = Path(__file__).resolve().parent.parent.parent
# Defaults first, and the role's own names last: what the module gets from a playbook, the plugin gets here.
FILES = (
    "cluster/defaults/main.yml",
    "cluster/vars/main.yml",
    "infrastructure/defaults/main.yml",
    "infrastructure/vars/main.yml",
)
UNDER_CLUSTER = ("etcd", "control_plane", "worker")
CONNECT = {"auto": ("ExternalIP", "InternalIP"), "internal": ("InternalIP",), "external": ("ExternalIP",)}


class InventoryModule(BaseInventoryPlugin, Cacheable):
    NAME = "caravan.cluster.machines"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(("machines.yml", "machines.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.load_cache_plugin()
        key = self.get_cache_key(path)
        use = self.get_option("cache") and cache
        found = self._cache.get(key) if use else None
        if found is None:
            found = self._found(path)
            # Written also where it is not read: that is what a refresh of the inventory is.
            if self.get_option("cache"):
                self._cache[key] = found
        self._fill(found)

    def _found(self, path: str) -> dict[str, Any]:
        variables = self._variables(Path(path).parent)
        self.templar.available_variables = variables

        def value(name: str) -> Any:
            if name not in variables:
                raise AnsibleParserError(f"{path}: {name} is not set in {self.get_option('variables')}")
            return self.templar.template(variables[name])

        try:
            spec = spec_read.read(value("__infrastructure_description"))
            settings = registry.with_secrets(value("infrastructure_settings"), value("infrastructure_secrets"))
            strategy = registry.strategy(value("infrastructure_provider"))(spec, settings)
            told = Engine(strategy).cluster().plain()
        except (ProviderError, KeyError) as error:
            raise AnsibleParserError(f"{path}: {error}") from error
        pools = {pool.name: {"labels": dict(pool.labels), "taints": list(pool.taints)} for pool in spec.pools}
        # As JSON has it, so that what comes from a cache is the same.
        return dict(json.loads(json.dumps({"machines": told["machines"], "pools": pools, "all": of_all(told)})))

    def _variables(self, directory: Path) -> dict[str, Any]:
        place = directory / self.get_option("variables")
        own = sorted([*place.glob("*.yml"), *place.glob("*.yaml")]) if place.is_dir() else [place]
        # What Ansible itself tells of the inventory, in plays.
        found: dict[str, Any] = {"inventory_dir": str(directory), "ansible_inventory_sources": [str(directory)]}
        for file in [*(COLLECTION / "roles" / name for name in FILES), *own]:
            try:
                found.update(self.loader.load_from_file(str(file), trusted_as_template=True) or {})
            except (OSError, ValueError) as error:
                raise AnsibleParserError(f"{file}: {error}") from error
        return found

    def _fill(self, found: dict[str, Any]) -> None:
        for role in ROLES:
            self.inventory.add_group(role)
        self.inventory.add_group("cluster")
        for role in UNDER_CLUSTER:
            self.inventory.add_child("cluster", role)
        # Of all, for the controller's plays too: a mirror has to hold what the classes need. Files' variables win.
        for name, value in found.get("all", {}).items():
            if value:
                self.inventory.set_variable("all", name, value)
        for machine in found["machines"]:
            self._add(machine, found["pools"].get(machine["pool"], {}))

    def _add(self, machine: dict[str, Any], pool: dict[str, Any]) -> None:
        name = machine["name"]
        group = self.inventory.add_group(f"pool_{machine['pool'].replace('-', '_')}")
        self.inventory.add_host(name, group=group)
        for role in machine["roles"]:
            self.inventory.add_host(name, group=role)
        types = CONNECT[self.get_option("address")]
        variables = {
            "ansible_host": address(machine, types),
            "cluster_node_address": address(machine, ("InternalIP",)),
            "cluster_node_name": address(machine, ("Hostname",)),
            "cluster_node_provider_id": machine["provider_id"],
            "cluster_node_provider_addresses": machine["addresses"],
            "infrastructure_machine": machine,
            "kubernetes_node_labels": pool.get("labels", {}),
            "kubernetes_node_taints": [taint(one) for one in pool.get("taints", ())],
        }
        for variable, value in variables.items():
            if value:
                self.inventory.set_variable(name, variable, value)


def of_all(told: dict[str, Any]) -> dict[str, Any]:
    """The variables of the group `all`, from a cluster's outputs."""
    return {
        "cluster_cloud_controller": told["cloud_controller"],
        "cluster_storage_classes": told["storage_classes"],
        "api_endpoint_vip": told["endpoint"].get("vip", ""),
    }


def address(machine: dict[str, Any], types: tuple[str, ...]) -> str:
    """The first address of the first type that the machine has."""
    found = (one["value"] for type in types for one in machine["addresses"] if one["type"] == type)
    return str(next(found, ""))


def taint(text: str) -> dict[str, str]:
    """`key=value:Effect` as the roles want it."""
    key_value, _colon, effect = text.rpartition(":")
    key, _equals, value = key_value.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}
