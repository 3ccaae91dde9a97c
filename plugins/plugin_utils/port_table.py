# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port table of the role `node` as rules for a provider: the same that hosts have their own firewalls from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLLECTION = Path(__file__).resolve().parent.parent.parent
# The table, and the defaults that its values refer to.
FILES = ("cluster/defaults/main.yml", "node/defaults/main.yml", "node/vars/main/ports.yml")
TABLE = "__node_ports"


def ports(loader: Any, templar: Any, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The ports that are open to other machines, with their sources as networks."""
    known: dict[str, Any] = {}
    for name in FILES:
        known.update(loader.load_from_file(str(COLLECTION / "roles" / name), trusted_as_template=True) or {})
    templar = templar.copy_with_new_env(available_variables={**known, **variables})

    def value(name: str) -> Any:
        return templar.template(variables.get(name, known.get(name)))

    networks = {
        "nodes": value("cluster_node_cidrs"),
        "pods": [value("cluster_pod_cidr")],
        **{name: value(f"node_firewall_{name}_cidrs") for name in ("admin", "api", "nodeport")},
    }
    # Whether the endpoint is a virtual address is for the provider to decide, which leaves VRRP out where it is not.
    features = [value("node_firewall_network_provider"), "vrrp"]
    table = [*templar.template(known[TABLE]), *value("node_firewall_extra_ports")]
    return [entry(port, networks) for port in table if port["sources"] and port.get("feature", features[0]) in features]


def entry(port: dict[str, Any], networks: dict[str, list[str]]) -> dict[str, Any]:
    """One port as the description of an infrastructure has it."""
    first, _dash, last = str(port.get("port", 0)).partition("-")
    return {
        "name": port["name"],
        "protocol": port["protocol"],
        "first": int(first),
        "last": int(last or first),
        "roles": list(port["groups"]),
        "sources": sorted({network for source in port["sources"] for network in networks[source]}),
    }
