#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: podman_nodes
short_description: Make the node containers of one inventory, or remove them
version_added: 0.1.0
description:
  - Makes all of an inventory's machines as podman containers with systemd and SSH, side by side, in one task.
  - The machines have one network of their own, with fixed addresses. It has no router, so they reach nothing else.
  - Each machine's SSH host key is made on the controller and is in place before the machine boots. The known_hosts file
    is written from the same keys, so the first connection is already a checked one.
  - Machines that are there are never replaced. One whose definition has changed since is named in a warning.
  - What belongs to the inventory is told by the label C(caravan.inventory), never by a name.
  - Several projects (checkouts, directories that C(ansible-playbook) is started in) may have machines on one machine.
    The label C(caravan.project) tells them apart, and machines of another project are neither used nor removed.
author:
  - Caravan contributors (@caravan-cluster)
options:
  inventory:
    description: The inventory's name. Containers, volumes and the network carry it as a label and in their names.
    type: str
    required: true
  state:
    description: Whether the machines are wanted. V(absent) removes containers, volumes and the network.
    type: str
    choices: [present, absent]
    default: present
  project:
    description:
      - The directory on the controller that the machines belong to. Machines of the same inventory name that another
        directory has made are refused, unless that directory is gone.
    type: path
    required: true
  every_inventory:
    description:
      - With O(state=absent), removes the machines of every inventory of O(project), and the node images that no other
        project's machines use.
    type: bool
    default: false
  image:
    description: The image to make machines from. Needed for O(state=present).
    type: str
  cidr:
    description: The machines' network. Needed for O(state=present).
    type: str
  machines:
    description: The wanted machines. Those that exist beside them are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The machine's host name.
        type: str
        required: true
      address:
        description: Its fixed address in O(cidr).
        type: str
        required: true
      volumes:
        description: Directories of the machine that are volumes of their own.
        type: list
        elements: str
        default: []
      mounts:
        description: Directories of the controller that the machine sees, read-only.
        type: list
        elements: dict
        default: []
        suboptions:
          source:
            description: The directory on the controller. Created where missing.
            type: path
            required: true
          target:
            description: Where the machine sees it.
            type: str
            required: true
  names:
    description: Names and addresses for every machine's first C(/etc/hosts).
    type: dict
    default: {}
  ssh_directory:
    description:
      - Where the controller keeps the user key (C(id_ed25519)), C(known_hosts) and the machines' host keys (C(hosts/)).
      - With O(state=absent) it is removed.
    type: path
    required: true
  containers_conf:
    description: podman's configuration file. The machine's own files are not read.
    type: path
    required: true
  boot_timeout:
    description: How long a machine may take, in seconds, until its SSH server answers.
    type: float
    default: 60
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Make two machines
  caravan.cluster.podman_nodes:
    inventory: local
    project: /srv/caravan
    image: localhost/caravan-node:3f2a9c01d4be
    cidr: 10.98.0.0/24
    machines:
      - {name: cp1, address: 10.98.0.11, volumes: [/var/lib/containerd, /var/lib/kubelet, /var/lib/etcd]}
      - {name: worker1, address: 10.98.0.21, volumes: [/var/lib/containerd, /var/lib/kubelet]}
    ssh_directory: .caravan/local/ssh
    containers_conf: "{{ role_path }}/files/containers.conf"

- name: Remove all that the inventory has
  caravan.cluster.podman_nodes:
    inventory: local
    project: /srv/caravan
    state: absent
    ssh_directory: .caravan/local/ssh
    containers_conf: "{{ role_path }}/files/containers.conf"
"""

RETURN = r"""
actions:
  description: The steps taken (in check mode, the steps it would take).
  returned: always
  type: list
  elements: str
  sample: [create network, create cp1, create worker1]
outdated:
  description: Machines that run by an older definition and were left as they are.
  returned: always
  type: list
  elements: str
  sample: []
surplus:
  description: Machines that exist but are not among O(machines). They were left as they are.
  returned: always
  type: list
  elements: str
  sample: []
elapsed_seconds:
  description: How long it took, until every machine's SSH server answered.
  returned: always
  type: float
  sample: 2.1
"""

import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._podman import lost, nodes
from ..module_utils._podman.client import Podman, PodmanError, run
from ..module_utils._podman.observe import bridge_of, inventories_of, observe, unused_images
from ..module_utils._podman.ssh import Keys, ssh_answers


class Nodes:
    """The steps of a plan, carried out."""

    def __init__(self, podman: Podman, keys: Keys, desired: nodes.Desired, names: dict) -> None:
        self.podman = podman
        self.keys = keys
        self.desired = desired
        self.names = names

    def create(self, machine: nodes.Machine) -> None:
        for mount in machine.mounts:
            Path(mount.source).mkdir(parents=True, exist_ok=True)
        for path in machine.volumes:
            volume = nodes.volume_name(self.desired.inventory, machine.name, path)
            if not self.podman.ok("volume", "exists", volume):
                self.podman.run(*nodes.volume_arguments(self.desired, machine, path))
        arguments = nodes.container_arguments(self.desired, machine, Path("/lib/modules").is_dir())
        container = nodes.container_name(self.desired.inventory, machine.name)
        self.podman.run(*arguments)
        files = self.keys.files(machine)
        files["etc/hosts"] = (0o644, nodes.hosts_file(machine, self.names).encode())
        self.podman.run("cp", "-", f"{container}:/", stdin=nodes.archive(files))
        self.podman.run("start", container)

    def start(self, machine: nodes.Machine) -> None:
        self.podman.run("start", nodes.container_name(self.desired.inventory, machine.name))

    def renew_keys(self, machine: nodes.Machine) -> None:
        """The controller has lost the keys of a machine that still runs."""
        container = nodes.container_name(self.desired.inventory, machine.name)
        self.podman.run("cp", "-", f"{container}:/", stdin=nodes.archive(self.keys.files(machine)))
        self.podman.run("exec", container, "systemctl", "restart", "ssh.service")

    def attach_controller(self) -> None:
        """Give the controller its address on the bridge, which podman makes with the first machine that starts."""
        address = nodes.controller_address(self.desired.cidr)
        bridge = bridge_of(self.podman, self.desired.inventory)
        run(["ip", "address", "replace", address, "dev", bridge], self.podman.environment)

    def wait(self, machine: nodes.Machine, timeout: float) -> None:
        """Until the machine's SSH server answers. Raise PodmanError with its last messages where it does not."""
        deadline = time.monotonic() + timeout
        while True:
            seen = ssh_answers(machine.address)
            if not seen:
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        container = nodes.container_name(self.desired.inventory, machine.name)
        try:
            journal = self.podman.run("exec", container, "journalctl", "--no-pager", "--lines=20").decode(
                errors="replace"
            )
        except PodmanError as error:
            journal = str(error)
        raise PodmanError(
            f"{machine.name}: no SSH server at {machine.address} within {timeout:g} s, last seen: {seen}. "
            f"The machine's last messages:\n{journal}"
        )


def is_directory(path: str) -> bool:
    return Path(path).is_dir()


def in_parallel(function: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Call the function for every item, side by side. Raise the first error when all have ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(function, item) for item in items]:
            future.result()


def make_present(module: AnsibleModule, podman: Podman, keys: Keys) -> dict:
    desired = nodes.Desired(
        inventory=module.params["inventory"],
        project=module.params["project"],
        cidr=module.params["cidr"],
        image=module.params["image"],
        machines=tuple(
            nodes.Machine(
                name=machine["name"],
                address=machine["address"],
                volumes=tuple(machine["volumes"]),
                mounts=tuple(nodes.Mount(mount["source"], mount["target"]) for mount in machine["mounts"]),
            )
            for machine in module.params["machines"]
        ),
    )
    nodes.check(desired)
    current = observe(podman, keys.held(), desired.inventory, desired.cidr)
    nodes.check_project(desired.inventory, current, desired.project, is_directory)
    plan = nodes.plan_present(current, desired)
    if not module.check_mode:
        keys.make_all(desired)
        worker = Nodes(podman, keys, desired, module.params["names"])
        machines = {machine.name: machine for machine in desired.machines}
        if plan.actions:
            lost.write_down(podman, current.ids())
        if nodes.Action("create_network") in plan.actions:
            podman.run(*nodes.network_arguments(desired))
        in_parallel(
            lambda action: getattr(worker, action.verb)(machines[action.target]),
            [action for action in plan.actions if action.target],
        )
        if nodes.Action("attach_controller") in plan.actions:
            worker.attach_controller()
        in_parallel(lambda machine: worker.wait(machine, module.params["boot_timeout"]), desired.machines)
    for name in plan.outdated:
        module.warn(f"{name} runs by an older definition. `make down` and `make up` replace it, with what it holds.")
    return {"actions": [str(action) for action in plan.actions], "outdated": plan.outdated, "surplus": plan.surplus}


def remove(podman: Podman, inventory: str, plan: nodes.Plan) -> None:
    def targets(verb: str) -> list:
        return [action.target for action in plan.actions if action.verb == verb]

    # Killed, not stopped: what they hold goes with them.
    in_parallel(
        lambda name: podman.run("rm", "--force", "--time=0", "--volumes", nodes.container_name(inventory, name)),
        targets("remove"),
    )
    if targets("remove_volume"):
        podman.run("volume", "rm", "--force", *targets("remove_volume"))
    if nodes.Action("remove_network") in plan.actions:
        podman.run("network", "rm", nodes.network_name(inventory))


def make_absent(module: AnsibleModule, podman: Podman, keys: Keys) -> dict:
    inventory, project = module.params["inventory"], module.params["project"]
    found = {inventory: observe(podman, keys.held(), inventory)}
    images: list = []
    if module.params["every_inventory"]:
        if nodes.owner(found[inventory], project, is_directory):
            # It goes by the name of one of ours, and is somebody else's: everything of ours does not include it.
            del found[inventory]
        found.update({name: observe(podman, keys.held(), name) for name in sorted(inventories_of(podman, project))})
        images = unused_images(podman, found)
    for name, current in found.items():
        nodes.check_project(name, current, project, is_directory)
    actions = []
    for inventory, current in found.items():
        plan = nodes.plan_absent(current)
        actions += [f"{inventory}: {action}" for action in plan.actions]
        if not module.check_mode:
            lost.write_down(podman, current.ids())
            remove(podman, inventory, plan)
    if images:
        actions += [f"remove image {image}" for image in images]
        if not module.check_mode:
            podman.run("image", "rm", *images)
    if keys.directory.exists():
        actions.append(f"remove {keys.directory}")
        if not module.check_mode:
            shutil.rmtree(keys.directory)
    return {"actions": actions, "outdated": [], "surplus": []}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "inventory": {"type": "str", "required": True},
            "project": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "every_inventory": {"type": "bool", "default": False},
            "image": {"type": "str"},
            "cidr": {"type": "str"},
            "machines": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str", "required": True},
                    "volumes": {"type": "list", "elements": "str", "default": []},
                    "mounts": {
                        "type": "list",
                        "elements": "dict",
                        "default": [],
                        "options": {
                            "source": {"type": "path", "required": True},
                            "target": {"type": "str", "required": True},
                        },
                    },
                },
            },
            "names": {"type": "dict", "default": {}},
            "ssh_directory": {"type": "path", "required": True},
            "containers_conf": {"type": "path", "required": True},
            "boot_timeout": {"type": "float", "default": 60},
        },
        required_if=[("state", "present", ("image", "cidr"))],
        supports_check_mode=True,
    )
    started = time.monotonic()
    podman = Podman(module.params["containers_conf"])
    keys = Keys(module.params["ssh_directory"], podman)
    try:
        make = make_present if module.params["state"] == "present" else make_absent
        result = make(module, podman, keys)
    except (PodmanError, nodes.DefinitionError, nodes.ForeignError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(result["actions"]),
        elapsed_seconds=round(time.monotonic() - started, 2),
        diff={"before": "", "after": "".join(f"{action}\n" for action in result["actions"])},
        **result,
    )


if __name__ == "__main__":
    main()
