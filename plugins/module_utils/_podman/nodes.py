# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What node containers an inventory has, and which steps lead to those it wants. Nothing here runs a command.

Names in podman are `caravan-<inventory>-<machine>`; who owns what is told by labels alone, never by names.
"""

from __future__ import annotations

import hashlib
import io
import ipaddress
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field

INVENTORY_LABEL = "caravan.inventory"
PROJECT_LABEL = "caravan.project"
MACHINE_LABEL = "caravan.machine"
DEFINITION_LABEL = "caravan.definition"

# From the controller's module to the machine; a path for every file, so that it is in one place.
HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


class DefinitionError(Exception):
    """The wanted machines cannot exist together. The text names the machine and the value."""


class ForeignError(Exception):
    """The inventory's machines belong to another project. The text names both."""


@dataclass(frozen=True)
class Mount:
    """A directory of the controller, read-only in the machine."""

    source: str
    target: str


@dataclass(frozen=True)
class Machine:
    """One wanted node container."""

    name: str
    address: str
    volumes: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Desired:
    """All wanted machines of one inventory. `project` is the directory on the controller that they belong to."""

    inventory: str
    project: str
    cidr: str
    image: str
    machines: tuple[Machine, ...]


@dataclass(frozen=True)
class Existing:
    """A node container that podman has."""

    machine: str
    state: str  # podman's word: created, running, exited, ...
    definition: str
    id: str = ""


@dataclass(frozen=True)
class Current:
    """What podman has of one inventory, by label, and the machines whose keys the controller holds.

    controller_attached: whether the controller has its address on the machines' bridge and so can reach them.
    projects: the directories on the controller that the containers and the network are labelled with.
    """

    network: bool = False
    projects: frozenset[str] = frozenset()
    controller_attached: bool = False
    containers: tuple[Existing, ...] = ()
    volumes: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def ids(self) -> list[str]:
        return [container.id for container in self.containers]


@dataclass(frozen=True)
class Action:
    """One step. `target` is a machine's name, or empty for the network."""

    verb: str
    target: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.verb.replace("_", " "), self.target) if part)


@dataclass(frozen=True)
class Plan:
    """The steps, and the machines that run by an older definition and are left as they are."""

    actions: tuple[Action, ...] = ()
    outdated: tuple[str, ...] = ()
    surplus: tuple[str, ...] = field(default=())


def container_name(inventory: str, machine: str) -> str:
    return f"caravan-{inventory}-{machine}"


def network_name(inventory: str) -> str:
    return f"caravan-{inventory}"


def volume_name(inventory: str, machine: str, path: str) -> str:
    return f"caravan-{inventory}-{machine}{path.replace('/', '-')}"


def check(desired: Desired) -> None:
    """Raise DefinitionError for what podman would refuse late or not at all."""
    try:
        network = ipaddress.ip_network(desired.cidr)
    except ValueError as error:
        raise DefinitionError(f"local_machines_cidr is {desired.cidr}, which is no network: {error}") from error
    seen: dict[str, str] = {}
    for machine in desired.machines:
        try:
            address = ipaddress.ip_address(machine.address)
        except ValueError as error:
            raise DefinitionError(f"{machine.name}: ansible_host is {machine.address}, which is no address") from error
        if address not in network:
            raise DefinitionError(
                f"{machine.name}: ansible_host is {address}, which is not in local_machines_cidr ({network})"
            )
        if address in (network.network_address, network.broadcast_address, network.network_address + 1):
            raise DefinitionError(f"{machine.name}: ansible_host is {address}, which {network} keeps for itself")
        if machine.address in seen:
            raise DefinitionError(f"{machine.name}: ansible_host is {address}, which {seen[machine.address]} has too")
        seen[machine.address] = machine.name


def definition(desired: Desired, machine: Machine) -> str:
    """A hash of everything that is fixed when the container is made."""
    parts = [
        desired.cidr,
        desired.image,
        machine.name,
        machine.address,
        list(machine.volumes),
        [[mount.source, mount.target] for mount in machine.mounts],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def plan_present(current: Current, desired: Desired) -> Plan:
    """Make what is missing and start what is stopped. What is there is never replaced: it may hold data."""
    existing = {container.machine: container for container in current.containers}
    actions = [] if current.network else [Action("create_network")]
    outdated = []
    for machine in desired.machines:
        container = existing.get(machine.name)
        # One that was made but never started is what an interrupted run left: it may lack its keys.
        if container is None or container.state == "created":
            actions.append(Action("create", machine.name))
            continue
        if container.definition != definition(desired, machine):
            outdated.append(machine.name)
        if container.state != "running":
            actions.append(Action("start", machine.name))
        if machine.name not in current.keys:
            actions.append(Action("renew_keys", machine.name))
    if actions or not current.controller_attached:
        actions.append(Action("attach_controller"))
    wanted = {machine.name for machine in desired.machines}
    return Plan(tuple(actions), tuple(outdated), tuple(sorted(set(existing) - wanted)))


def owner(current: Current, project: str, exists: Callable[[str], bool]) -> str:
    """The other project that the machines belong to, or nothing. What is left of one that is gone is anybody's."""
    return next((other for other in sorted(current.projects - {project}) if exists(other)), "")


def check_project(inventory: str, current: Current, project: str, exists: Callable[[str], bool]) -> None:
    """Raise ForeignError where the machines belong to another project that `exists`.

    Two checkouts on one controller may both have an inventory of the same name. Neither may take, or take away, the
    other's machines.
    """
    other = owner(current, project, exists)
    if other:
        raise ForeignError(
            f"the machines of the inventory {inventory} belong to {other}, and this is {project}: remove them from "
            "there, or choose another local_machines_name and local_machines_cidr"
        )


def plan_absent(current: Current) -> Plan:
    """Remove all that carries the inventory's label."""
    actions = [Action("remove", container.machine) for container in current.containers]
    actions += [Action("remove_volume", volume) for volume in sorted(current.volumes)]
    if current.network:
        actions.append(Action("remove_network"))
    return Plan(tuple(actions))


def controller_address(cidr: str) -> str:
    """The controller's own address on the machines' bridge, with the prefix length: the network's first."""
    network = ipaddress.ip_network(cidr)
    return f"{network.network_address + 1}/{network.prefixlen}"


def bridge_arguments(name: str, cidr: str, internal: bool, labels: list[str]) -> list[str]:
    """`podman network create`: no name server (podman's answers no TCP), only a bridge. internal: no router either."""
    return [
        "network",
        "create",
        "--driver=bridge",
        "--disable-dns",
        *(["--internal"] if internal else []),
        f"--subnet={cidr}",
        *labels,
        name,
    ]


def network_arguments(desired: Desired) -> list[str]:
    """`podman network create` for an inventory: no router, no translation."""
    return bridge_arguments(network_name(desired.inventory), desired.cidr, True, owner_labels(desired))


def owner_labels(desired: Desired) -> list[str]:
    return [f"--label={INVENTORY_LABEL}={desired.inventory}", f"--label={PROJECT_LABEL}={desired.project}"]


def hardware_address(address: str) -> str:
    """A locally administered MAC address that belongs to an address for good.

    Podman would draw a new one at every start, as if the network card had been replaced: neighbours keep the old one
    for half a minute, in which a rebooted machine cannot be reached.
    """
    return "02:ca:" + ":".join(f"{part:02x}" for part in ipaddress.ip_address(address).packed)


def volume_arguments(desired: Desired, machine: Machine, path: str) -> list[str]:
    return [
        "volume",
        "create",
        *owner_labels(desired),
        f"--label={MACHINE_LABEL}={machine.name}",
        volume_name(desired.inventory, machine.name, path),
    ]


def container_arguments(desired: Desired, machine: Machine, kernel_modules: bool) -> list[str]:
    """`podman create` for one machine of an inventory. kernel_modules: whether the controller has /lib/modules."""
    labels = [
        *owner_labels(desired),
        f"--label={MACHINE_LABEL}={machine.name}",
        f"--label={DEFINITION_LABEL}={definition(desired, machine)}",
    ]
    volumes = [f"{volume_name(desired.inventory, machine.name, path)}:{path}" for path in machine.volumes]
    volumes += [f"{mount.source}:{mount.target}:ro" for mount in machine.mounts]
    name, network = container_name(desired.inventory, machine.name), network_name(desired.inventory)
    return node_arguments(name, network, machine, labels, volumes, kernel_modules, desired.image)


def node_arguments(
    name: str, network: str, machine: Machine, labels: list[str], volumes: list[str], kernel_modules: bool, image: str
) -> list[str]:
    """`podman create` for a container that is a machine. volumes: as podman's option has them."""
    modules = ["/lib/modules:/lib/modules:ro"] if kernel_modules else []
    return [
        "create",
        "--replace",
        f"--name={name}",
        f"--hostname={machine.name}",
        f"--network={network}",
        f"--ip={machine.address}",
        f"--mac-address={hardware_address(machine.address)}",
        "--privileged",
        "--systemd=always",
        "--cgroupns=private",
        # /etc/hosts and /etc/resolv.conf are the machine's own, not podman's mounts: roles replace them by rename.
        "--no-hosts",
        "--dns=none",
        "--stop-timeout=30",
        *labels,
        *(f"--volume={volume}" for volume in [*volumes, *modules]),
        image,
    ]


def hosts_file(machine: Machine, names: dict[str, str]) -> str:
    """The machine's first /etc/hosts. names: name -> address, known to every machine."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", f"{machine.address} {machine.name}"]
    lines += [f"{address} {name}" for name, address in sorted(names.items())]
    return "\n".join(lines) + "\n"


def archive(files: dict[str, tuple[int, bytes]]) -> bytes:
    """A tar archive for `podman cp`. files: path without a leading slash -> (mode, content); all owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, (mode, content) in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def known_hosts(machines: tuple[Machine, ...], public_keys: dict[str, str]) -> str:
    """The known_hosts file. public_keys: machine -> `ssh-ed25519 AAAA...`."""
    return "".join(f"{machine.name},{machine.address} {public_keys[machine.name]}\n" for machine in machines)


def parse_containers(listed: list[dict], ended: frozenset[str]) -> tuple[Existing, ...]:
    """From `podman ps --all --format json`. ended: ids of containers without a process, whatever podman believes."""
    return tuple(
        Existing(
            machine=entry["Labels"].get(MACHINE_LABEL, ""),
            state="exited" if entry["State"] == "running" and entry["Id"] in ended else entry["State"],
            definition=entry["Labels"].get(DEFINITION_LABEL, ""),
            id=entry["Id"],
        )
        for entry in sorted(listed, key=lambda entry: entry["Names"][0])
    )
