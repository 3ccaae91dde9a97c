# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as containers with systemd and SSH."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..._podman import nodes
from ..._podman.client import PodmanError, run
from ..._podman.ssh import Keys, ssh_answers
from ..base import Handler
from ..errors import ProviderError, TransientError
from ..model import Change, Found, Kind, Properties, Resource
from ..patience import Patience
from .api import Api
from .settings import Settings

# What podman has no field for. {property: label}
KEPT = {
    "pool": "caravan.cluster/pool",
    "roles": "caravan.cluster/roles",
    "image": "caravan.cluster/image",
    "size": "caravan.cluster/size",
    "address": "caravan.cluster/address",
    "disks": "caravan.cluster/disks",
}
# State of a node that is its own, and goes with it.
STATE = ("/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd")
DISKS = "/mnt/disks"
# {name: address} for the first /etc/hosts; directories of the controller, as podman mounts them.
CREATE_ONLY = frozenset({"authorized_keys", "names", "mounts"})


class Machine(Handler):
    """One that was made and never started lacks its keys: it counts as unfinished, whatever its label says."""

    kind = Kind(
        "machine",
        needs=("network", "volume"),
        mutable=frozenset({"running"}),
        create_only=CREATE_ONLY,
    )

    def __init__(self, api: Api, settings: Settings, cidr: str) -> None:
        self.api, self.settings, self.cidr = api, settings, cidr
        self.keys = Keys(settings.ssh_directory, api.podman)

    def observe(self) -> Iterator[Found]:
        listed = self.api.own("ps", "--all")
        ended = self.api.ended() if listed else frozenset()
        for entry in listed:
            tags = entry["tags"]
            finished = entry["State"] not in ("created", "configured")
            properties: dict[str, Any] = {name: tags.get(label, "") for name, label in KEPT.items()}
            for name in ("roles", "disks"):
                properties[name] = properties[name].split(",") if properties[name] else []
            properties.update(
                running=entry["State"] == "running" and entry["Id"] not in ended,
                network=(entry.get("Networks") or [""])[0],
            )
            stamp = self.api.ownership.stamp(tags) if finished else ""
            yield self._found(self.api.ownership.name(tags), entry["Id"], properties, stamp)

    def create(self, wanted: Resource, token: str) -> Found:
        own = wanted.properties
        machine = nodes.Machine(wanted.name, own["address"])
        self.keys.add(machine)
        kept = {label: _text(own[name]) for name, label in KEPT.items()}
        volumes = [
            *STATE,
            *(f"{disk}:{DISKS}/{self._disk(wanted.name, disk)}" for disk in own["disks"]),
            *own["mounts"],
        ]
        labels = self.api.labels(wanted.name, wanted.stamp, kept)
        arguments = nodes.node_arguments(
            self.api.name(wanted.name),
            own["network"],
            machine,
            labels,
            volumes,
            Path("/lib/modules").is_dir(),
            newest_image(self.api, self.settings.image),
        )
        id = self.api.run(*arguments, about=wanted.key).strip()
        return self._complete(wanted, id, finished=False)

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id, finished=bool(found.stamp))

    def _complete(self, wanted: Resource, id: str, finished: bool) -> Found:
        machine = nodes.Machine(wanted.name, wanted.properties["address"])
        if not finished:
            self.keys.add(machine)
            self.api.run("cp", "-", f"{id}:/", stdin=nodes.archive(self._files(machine, wanted)), about=wanted.key)
        self.api.write_down(id)
        self.api.run("start", id, about=wanted.key)
        self._attach(str(wanted.properties["network"]))
        self._wait(machine)
        return self._found(wanted.name, id, {**wanted.properties, "running": True}, wanted.stamp)

    def _files(self, machine: nodes.Machine, wanted: Resource) -> dict[str, tuple[int, bytes]]:
        files: dict[str, tuple[int, bytes]] = self.keys.files(machine)
        place = "root/.ssh/authorized_keys"
        own = "".join(f"{key}\n" for key in wanted.properties["authorized_keys"])
        files[place] = (0o600, files[place][1] + own.encode())
        files["etc/hosts"] = (0o644, nodes.hosts_file(machine, dict(wanted.properties["names"])).encode())
        return files

    def _attach(self, network: str) -> None:
        """Give the controller its address on the bridge, which podman makes with the first machine that starts."""
        entry = self.api.json("network", "inspect", network)[0]
        address = nodes.controller_address(self.cidr)
        try:
            run(["ip", "address", "replace", address, "dev", entry["network_interface"]], self.api.podman.environment)
        except PodmanError as error:
            raise ProviderError(f"network {network}: {error}") from error

    def _wait(self, machine: nodes.Machine) -> None:
        def look(attempts: int) -> None:
            seen = ssh_answers(machine.address)
            if seen:
                raise TransientError(f"machine/{machine.name} has no SSH server at {machine.address}: {seen}")

        if self.settings.boot_timeout:
            Patience(limit=self.settings.boot_timeout, first=0.05, longest=0.5)(look)

    def delete(self, found: Found) -> None:
        """Killed, not stopped: what it holds goes with it, but for its disks."""
        self.api.write_down(found.id)
        self.api.run("rm", "--force", "--time=0", "--volumes", found.id, about=found.key, gone=True)
        self.keys.remove(found.name)

    def _disk(self, machine: str, volume: str) -> str:
        """The disk's own name, from that of its volume."""
        return volume[len(self.api.name(machine)) + 1 :]

    @staticmethod
    def _found(name: str, id: str, own: Properties, stamp: str) -> Found:
        properties = {key: value for key, value in own.items() if key not in CREATE_ONLY}
        properties["failure_domain"] = "local"
        details: Mapping[str, Any] = {
            "state": "running" if own["running"] else "stopped",
            "addresses": [{"type": "InternalIP", "value": own["address"]}, {"type": "Hostname", "value": name}],
        }
        return Found("machine", name, id, properties, stamp, details)


def newest_image(api: Api, name: str) -> str:
    """The image that `name` stands for, or nothing."""
    listed = api.json("image", "ls", "--format=json", f"--filter=reference={name}")
    newest: Mapping[str, Any] = max(listed, key=lambda image: image.get("Created", 0), default={})
    return str(newest.get("Id", ""))


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
