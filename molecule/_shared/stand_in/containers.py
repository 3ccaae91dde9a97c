# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node containers for instances, and one haproxy for each load balancer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.caravan.cluster.plugins.module_utils._podman import nodes
from ansible_collections.caravan.cluster.plugins.module_utils._podman.client import Podman

from . import first_boot, haproxy
from .model import Balancer, Instance, World

# Told from the mirror, which is in the same network.
STAND_IN_LABEL = "caravan.stand_in"
VOLUMES = ("/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd")


@dataclass(frozen=True)
class Step:
    verb: str  # create, start, stop, remove
    instance: str


def steps(wanted: Sequence[Instance], there: Mapping[str, bool]) -> list[Step]:
    """there: whether it runs, by instance."""
    ids = {one.id for one in wanted}
    gone = [Step("remove", id) for id in sorted(there) if id not in ids]
    made = [Step("create", one.id) for one in wanted if one.id not in there and one.running]
    moved = [
        Step("start" if one.running else "stop", one.id)
        for one in wanted
        if one.id in there and one.running != there[one.id]
    ]
    return [*gone, *made, *moved]


class Containers:
    """place: the network, the image and the label, as the local provider's module takes them."""

    def __init__(self, podman: Podman, place: nodes.Desired, nameserver: str) -> None:
        self.podman = podman
        self.place = place
        self.nameserver = nameserver
        self.instances: dict[str, bool] = {}
        self.balancers: dict[str, str] = {}  # the configuration that it runs with, by name

    def told(self) -> str:
        """For another process, which makes containers in the same place."""
        return json.dumps({"place": asdict(self.place), "nameserver": self.nameserver})

    @classmethod
    def of(cls, podman: Podman, told: str) -> Containers:
        found = json.loads(told)
        return cls(podman, nodes.Desired(**{**found["place"], "machines": ()}), found["nameserver"])

    def name(self, id: str) -> str:
        return nodes.container_name(self.place.inventory, id)

    def console(self, id: str) -> str:
        """All that it has written so far; nothing where it does not exist yet."""
        return self.podman.run("logs", self.name(id)).decode(errors="replace") if id in self.instances else ""

    def running(self, id: str) -> bool:
        """As podman has it: a machine may have switched itself off."""
        return self.podman.run("inspect", "--format={{.State.Running}}", self.name(id)).strip() == b"true"

    def follow(self, world: World) -> list[str]:
        """Make it so; return what was done."""
        by_id = {one.id: one for one in world.instances}
        todo = steps(world.instances, self.instances)
        # What goes, goes first: another machine may have its address next.
        for verbs in (("remove",), ("create", "start", "stop")):
            with ThreadPoolExecutor(max_workers=4) as pool:
                list(pool.map(lambda step: self._do(step, by_id), [step for step in todo if step.verb in verbs]))
        return [f"{step.verb} {step.instance}" for step in todo] + self._follow_balancers(world.balancers)

    def remove_all(self) -> None:
        """Also those that another process has made here."""
        filters = [f"--filter=label={nodes.INVENTORY_LABEL}={self.place.inventory}", f"--filter=label={STAND_IN_LABEL}"]
        for one in self.podman.json("ps", "--all", "--format=json", *filters):
            self.instances[one["Labels"][nodes.MACHINE_LABEL]] = one["State"] == "running"
        self.follow(World())

    def _do(self, step: Step, instances: Mapping[str, Instance]) -> None:
        if step.verb == "create":
            self.create(instances[step.instance])
        elif step.verb == "remove":
            self.remove(step.instance)
        else:
            self.switch(step.verb, step.instance)

    def remove(self, id: str) -> None:
        self.podman.run("rm", "--force", "--time=0", "--volumes", self.name(id))
        self.podman.run("volume", "rm", "--force", *self._volumes(id))
        del self.instances[id]

    def switch(self, verb: str, id: str) -> None:
        """verb: start, stop or restart."""
        self.podman.run(verb, self.name(id))
        self.instances[id] = verb != "stop"

    def _volumes(self, id: str) -> list[str]:
        return [nodes.volume_name(self.place.inventory, id, path) for path in VOLUMES]

    def create(self, instance: Instance) -> None:
        machine = nodes.Machine(instance.id, instance.address, VOLUMES)
        for path in VOLUMES:
            self.podman.run(*nodes.volume_arguments(self.place, machine, path))
        create, *arguments = nodes.container_arguments(self.place, machine, Path("/lib/modules").is_dir())
        # With a terminal it has a console, and podman keeps what is written there.
        self.podman.run(create, "--tty", f"--label={STAND_IN_LABEL}=machine", *arguments)
        files = first_boot.files(instance, self.nameserver)
        files["etc/hosts"] = (0o644, nodes.hosts_file(machine, {}).encode())
        self.podman.run("cp", "-", f"{self.name(instance.id)}:/", stdin=nodes.archive(files))
        self.podman.run("start", self.name(instance.id))
        self.instances[instance.id] = True

    def _follow_balancers(self, wanted: Sequence[Balancer]) -> list[str]:
        """One container for each load balancer, with all of its ports."""
        configurations = haproxy.configurations(wanted)
        addresses = {one.name: one.address for one in wanted}
        done = []
        for name in sorted(set(self.balancers) - set(configurations)):
            self.podman.run("rm", "--force", "--time=0", self.name(name))
            del self.balancers[name]
            done.append(f"remove balancer {name}")
        for name, text in sorted(configurations.items()):
            if self.balancers.get(name) == text:
                continue
            new = name not in self.balancers
            if new:
                self.podman.run(*self._balancer_arguments(name, addresses[name]))
            file = nodes.archive({haproxy.PATH: (0o644, text.encode())})
            self.podman.run("cp", "-", f"{self.name(name)}:/", stdin=file)
            # haproxy's master process reads its configuration anew at USR2, and keeps its connections.
            self.podman.run(*(("start",) if new else ("kill", "--signal=USR2")), self.name(name))
            self.balancers[name] = text
            done.append(f"{'create' if new else 'reload'} balancer {name}")
        return done

    def _balancer_arguments(self, name: str, address: str) -> list[str]:
        return [
            "create",
            "--replace",
            f"--name={self.name(name)}",
            f"--network={nodes.network_name(self.place.inventory)}",
            f"--ip={address}",
            f"--mac-address={nodes.hardware_address(address)}",
            "--no-hosts",
            "--dns=none",
            *nodes.owner_labels(self.place),
            f"--label={nodes.MACHINE_LABEL}={name}",
            "--entrypoint=haproxy",
            self.place.image,
            *("-W", "-db", "-f", f"/{haproxy.PATH}"),
        ]
