# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are node containers. Nova loads this driver in the services' own Python.

Where it makes them, it is told by the environment of its process: STAND_IN, in the words of stand_in.containers.
"""

from __future__ import annotations

import base64
import os
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._podman.client import Podman
from nova.compute import power_state
from nova.virt import fake, hardware
from stand_in.containers import Containers
from stand_in.model import Instance

# The user of Debian's images for OpenStack.
USER = "debian"


class NodeContainers(fake.FakeDriver):
    """What a container has not, disks above all, and the host's own size, are as the fake driver has them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.containers = Containers.of(Podman(os.environ["CONTAINERS_CONF"]), os.environ["STAND_IN"])

    def spawn(self, context: Any, instance: Any, *arguments: Any, network_info: Any = None, **options: Any) -> None:
        addresses = [ip["address"] for vif in network_info for ip in vif.fixed_ips()]
        text = base64.b64decode(instance.user_data or "").decode()
        self.containers.create(Instance(instance.uuid, addresses[0], USER, text))
        super().spawn(context, instance, *arguments, network_info=network_info, **options)

    def destroy(self, context: Any, instance: Any, *arguments: Any, **options: Any) -> None:
        # What failed half-way has none.
        if instance.uuid in self.containers.instances:
            self.containers.remove(instance.uuid)
        super().destroy(context, instance, *arguments, **options)

    def power_off(self, instance: Any, *arguments: Any, **options: Any) -> None:
        super().power_off(instance, *arguments, **options)
        self.containers.switch("stop", instance.uuid)

    def power_on(self, context: Any, instance: Any, *arguments: Any, **options: Any) -> None:
        super().power_on(context, instance, *arguments, **options)
        self.containers.switch("start", instance.uuid)

    def reboot(self, context: Any, instance: Any, *arguments: Any, **options: Any) -> None:
        self.containers.switch("restart", instance.uuid)

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        super().get_info(instance, use_cache)
        running = self.containers.running(instance.uuid)
        return hardware.InstanceInfo(state=power_state.RUNNING if running else power_state.SHUTDOWN)

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        return self.containers.console(instance.uuid).encode()
