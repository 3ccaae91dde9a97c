# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What podman has of an inventory and of a project, and the controller's network of it. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable

from . import lost, nodes
from .client import Podman, PodmanError, run


def bridge_of(podman: Podman, inventory: str) -> str:
    """The network's bridge on the controller."""
    return podman.json("network", "inspect", nodes.network_name(inventory))[0]["network_interface"]


def is_attached(podman: Podman, inventory: str, cidr: str) -> bool:
    """Whether the controller has its address on the bridge. There is no bridge while no machine runs."""
    try:
        shown = run(["ip", "-brief", "address", "show", "dev", bridge_of(podman, inventory)], podman.environment)
    except PodmanError:
        return False
    return nodes.controller_address(cidr) in shown.decode().split()


def labels(entry: dict) -> dict[str, str]:
    """The labels of what podman lists; it spells the key in two ways."""
    return entry.get("Labels", entry.get("labels")) or {}


def inventories_of(podman: Podman, project: str) -> set[str]:
    """The inventories whose containers, volumes or network belong to the project."""
    label = f"label={nodes.PROJECT_LABEL}={project}"
    return {
        labels(entry)[nodes.INVENTORY_LABEL]
        for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        for entry in podman.json(*kind, "--format=json", f"--filter={label}")
    }


def unused_images(podman: Podman, removed: Iterable[str]) -> list[str]:
    """The names of node images that no container is made from, but such of inventories that are about to go.

    By their names, not by force: force would take along containers that somebody has made of them meanwhile.
    """
    gone = set(removed)
    used = {
        entry["ImageID"]
        for entry in podman.json("ps", "--all", "--format=json")
        if labels(entry).get(nodes.INVENTORY_LABEL) not in gone
    }
    images = podman.json("image", "ls", "--format=json", "--filter=label=caravan.image")
    return sorted({name for image in images if image["Id"] not in used for name in image.get("Names") or [image["Id"]]})


def observe(podman: Podman, keys: frozenset[str], inventory: str, cidr: str = "") -> nodes.Current:
    """What the inventory has. keys: the machines whose keys the controller holds."""
    label = f"label={nodes.INVENTORY_LABEL}={inventory}"
    listed = podman.json("ps", "--all", "--format=json", f"--filter={label}")
    volumes = podman.run("volume", "ls", "--quiet", f"--filter={label}").decode().split()
    networks = podman.json("network", "ls", "--format=json", f"--filter={label}")
    return nodes.Current(
        network=bool(networks),
        projects=frozenset(filter(None, (labels(entry).get(nodes.PROJECT_LABEL) for entry in [*listed, *networks]))),
        controller_attached=bool(networks) and bool(cidr) and is_attached(podman, inventory, cidr),
        containers=nodes.parse_containers(listed, lost.ended(podman) if listed else frozenset()),
        volumes=frozenset(volumes),
        keys=keys,
    )
