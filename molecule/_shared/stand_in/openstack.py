# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack by its own services, whose hosts boot node containers: openstack_cloud/machine_driver.py.

Nova starts and ends machines itself. What is left to follow are the names, which are those of the site's name server.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from baremetal_site.name_server import KEY, NameServer
from openstack_backend import OpenStackBackend
from openstack_cloud.cloud import Hypervisor

from . import site
from .model import Application, World

CLOUD = "stand-in"


class OpenStack:
    application = None
    tls = True

    def __init__(self, told: str, around: Callable[[Application], Application]) -> None:
        """told: where containers are made."""
        packages = tuple(os.environ["PYTHONPATH"].split(os.pathsep))
        environment = {"STAND_IN": told, "CONTAINERS_CONF": os.environ["CONTAINERS_CONF"]}
        self.backend = OpenStackBackend(Hypervisor("machine_driver.NodeContainers", packages, environment))
        self.directory = Path(tempfile.mkdtemp(prefix="openstack-names-"))
        self.names = NameServer(self.directory, site.ZONE, around)

    def prepare(self) -> None:
        pass

    def stop(self) -> None:
        self.names.stop()
        shutil.rmtree(self.directory)
        self.backend.stop()

    def files(self) -> dict[str, str]:
        """A configuration of the SDK's own kind: nothing in the product knows of a stand-in."""
        own = self.backend.environment
        user = ("auth_url", "username", "password", "project_name", "user_domain_id", "project_domain_id")
        cloud = {
            "auth": {name: own[f"OS_{name.upper()}"] for name in user},
            "region_name": own["OS_REGION_NAME"],
            "cacert": own["OS_CACERT"],
        }
        settings = {
            **self.backend.settings(),
            "cloud": CLOUD,
            "dns": {"server": "127.0.0.1", "port": self.names.port, "key": KEY},
        }
        return {
            # JSON is YAML.
            "clouds.yaml": json.dumps({"clouds": {CLOUD: cloud}}),
            "settings.json": json.dumps(settings),
            "secrets.json": json.dumps({"tsig": self.names.secret}),
        }

    def world(self) -> World:
        return World(names=site.addresses(self.names.records()))
