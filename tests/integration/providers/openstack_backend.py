# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack by its own services, with our middleware in front of them. Each test has a project to itself."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import openstack
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import tls
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.api import Api
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.offer import Offer
from ansible_collections.caravan.cluster.plugins.module_utils._providers.openstack.strategy import OpenStack
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from backend import Drifted, portable
from openstack_cloud.cloud import Cloud, Hypervisor
from openstack_cloud.configuration import REGION, SERVICES
from openstack_cloud.front import Front
from traffic import Answer, Dialect, Environ, Request, Traffic

EXTERNAL = "public"
ZONES = ("zone1", "zone2")
# What the strategy observes, each by one list.
LISTED = re.compile(r"/(detail|networks|subnets|ports|routers|floatingips|security-groups|os-server-groups)$")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")


def request(environ: Environ, body: bytes) -> Request:
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    # Tokens change nothing.
    asking = path == "/identity/v3/auth/tokens"
    mutating = method not in ("GET", "HEAD") and not asking
    return Request(f"{method} {ID.sub('*', path)}", mutating, method == "GET" and LISTED.search(path) is not None)


def error(request: Request, status: str, name: str) -> Answer:
    """In the words of the service that is asked."""
    code = int(status.split(" ")[0])
    own = {"message": "test", "code": code}
    network = {"NeutronError": {"type": name, "message": "test", "detail": ""}}
    body = (
        network
        if " /network/" in request.name
        else {name: own}
        if " /identity/" not in request.name
        else {"error": own}
    )
    return Answer(status, json.dumps(body).encode(), "application/json")


DIALECT = Dialect(
    request=request,
    throttled=lambda request: error(request, "429 Too Many Requests", "overLimit"),
    conflict=lambda request: error(request, "409 Conflict", "conflictingRequest"),
    refused=lambda request: error(request, "400 Bad Request", "badRequest"),
)


class OpenStackBackend:
    # What Neutron, Nova and Cinder have no call to change.
    fixed = frozenset(
        """
        floating_ip.external machine.failure_domain port.subnet server_group.policy subnet.cidr subnet.network
        volume.encrypted volume.failure_domain volume.type
        """.split()
    )
    # Machines and disks take seconds here, too, and every question keeps the services from their work.
    patience = Patience(limit=180, first=0.2, longest=1)

    def __init__(self, hypervisor: Hypervisor | None = None) -> None:
        logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)
        self.traffic = Traffic(DIALECT)
        self.cloud = Cloud(hypervisor or Hypervisor())
        self.front: Front | None = None
        try:
            self._install()
        except BaseException:
            self.stop()
            raise
        self.reset()

    # -- what the people have made who run the cloud ---------------------------------------------------------

    def _install(self) -> None:
        port = free_port()
        self.url = f"https://localhost:{port}"
        backends = {path: self.cloud.urls[name] for name, (_type, path) in SERVICES.items()}
        self.front = Front(port, backends, self._certificate(), self.traffic.around)
        self.admin = self._administrator()
        self._catalogue()
        # A token holds the catalogue of its day.
        self.admin = self._administrator()
        self.cloud.start_compute()
        admin = self.admin
        admin.image.create_image(
            name="Debian 12",
            data=b"x" * 1024,
            disk_format="raw",
            container_format="bare",
            visibility="public",
            properties={"os_distro": "debian", "os_version": "12", "architecture": "x86_64"},
        )
        for name, cpu, memory in (("small", 2, 4), ("medium", 2, 8), ("large", 4, 16)):
            admin.compute.create_flavor(name=name, vcpus=cpu, ram=memory * 1024, disk=0)
        for number, zone in enumerate(ZONES, 1):
            aggregate = admin.compute.create_aggregate(name=zone, availability_zone=zone)
            admin.compute.add_host_to_aggregate(aggregate, f"host{number}")
        flat = {"provider_network_type": "flat", "provider_physical_network": "outside"}
        outside = admin.network.create_network(name=EXTERNAL, is_router_external=True, **flat)
        admin.network.create_subnet(network_id=outside.id, ip_version=4, cidr="198.18.0.0/16", enable_dhcp=False)
        for name, encrypted in (("standard", False), ("fast", False), ("standard-luks", True), ("fast-luks", True)):
            type = admin.block_storage.create_type(name=name)
            if encrypted:
                luks = {
                    "provider": "luks",
                    "cipher": "aes-xts-plain64",
                    "key_size": 256,
                    "control_location": "front-end",
                }
                admin.block_storage.create_type_encryption(type, **luks)

    def _catalogue(self) -> None:
        identity = self.admin.identity
        found = {service.name: service for service in identity.services()}
        for name, (type, path) in SERVICES.items():
            service = found.get(name) or identity.create_service(name=name, type=type)
            version = {"nova": "/v2.1", "cinder": "/v3/%(project_id)s", "keystone": "/v3"}.get(name, "")
            addresses = {"public": self.url + path, "internal": self.cloud.urls[name]}
            for interface, url in addresses.items():
                if (name, interface) != ("keystone", "internal"):
                    own = {"interface": interface, "url": url + version, "region_id": REGION}
                    identity.create_endpoint(service_id=service.id, **own)
        # Nova asks cinder to let go of a volume on a user's behalf: as a service, which has a role of its own.
        admin = identity.find_user("admin")
        identity.assign_project_role_to_user(identity.find_project("admin"), admin, identity.find_role("service"))

    def _certificate(self) -> tuple[str, str]:
        now = datetime.datetime.now(datetime.timezone.utc)
        ca_key, _pem = tls.new_key()
        key, key_pem = tls.new_key()
        ca = tls.authority(ca_key, "OpenStack of the tests", now)
        place = self.cloud.directory
        self.ca_file = place / "front-ca.crt"
        self.ca_file.write_bytes(ca)
        certificate, secret = place / "front.crt", place / "front.key"
        certificate.write_bytes(tls.server(ca, ca_key, key, ["localhost", "127.0.0.1"], now))
        secret.touch(mode=0o600)
        secret.write_bytes(key_pem)
        return str(certificate), str(secret)

    def _administrator(self) -> Any:
        """Past our middleware, at the services' own addresses."""
        return openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_url=f"{self.cloud.urls['keystone']}/v3",
            username="admin",
            password=self.cloud.password,
            project_name="admin",
            user_domain_id="default",
            project_domain_id="default",
            region_name=REGION,
            interface="internal",
            # From here on, disks that are in use can be made larger.
            block_storage_default_microversion="3.42",
        )

    # -- a test's own part of the cloud ----------------------------------------------------------------------

    def reset(self) -> None:
        """A new project, with a new user who may use it and nothing more."""
        self.traffic.calm()
        identity, name = self.admin.identity, f"test-{secrets.token_hex(4)}"
        self.project = identity.create_project(name=name, domain_id="default")
        self.password = secrets.token_urlsafe(16)
        self.user = identity.create_user(name=name, password=self.password, domain_id="default")
        identity.assign_project_role_to_user(self.project, self.user, identity.find_role("member"))
        self.environment = {
            "OS_AUTH_URL": f"{self.url}/identity/v3",
            "OS_USERNAME": name,
            "OS_PASSWORD": self.password,
            "OS_PROJECT_NAME": name,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": REGION,
            "OS_CACERT": str(self.ca_file),
        }
        os.environ.update(self.environment)
        self.api: Api | None = None
        self.theirs = self.admin.network.create_network(name="theirs", project_id=self.project.id)
        self.traffic.clear()

    def stop(self) -> None:
        if self.front:
            self.front.stop()
        self.cloud.stop()
        for name in getattr(self, "environment", ()):
            os.environ.pop(name, None)

    def description(self, name: str = "demo", **changes: Any) -> dict[str, Any]:
        """Names, buckets, keys and identities are not OpenStack's: what stands in for them is another provider's."""
        description = portable("example.org", name, grants=[], **changes)
        for other in ("dns", "buckets", "keys", "identities"):
            if other not in changes:
                del description[other]
        return description

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "external_network": EXTERNAL,
            "volume_types": {"standard": "standard", "fast": "fast"},
            "encrypted_volume_types": {"standard": "standard-luks", "fast": "fast-luks"},
            **changes,
        }

    def strategy(self, description: dict[str, Any], **settings: Any) -> OpenStack:
        strategy = OpenStack(spec_read.read(description), self.settings(**settings))
        if not settings and self.environment.items() <= os.environ.items():
            # A token is made, and then checked by every service, in about a second. A test has many strategies.
            self.api = self.api or strategy.api
            strategy.api, strategy.offer = self.api, Offer(self.api)
        return strategy

    def entry(self) -> dict[str, Any]:
        """The user's cloud, as clouds.yaml has it."""
        own = {name.removeprefix("OS_").lower(): value for name, value in self.environment.items()}
        outer = {name: own.pop(name) for name in ("region_name", "cacert")}
        return {"auth": own, **outer}

    def restricted(self, rules: Sequence[Mapping[str, str]]) -> dict[str, str]:
        """The environment of an application credential of the user's own, for the calls of `rules` and no others."""
        where = {name: self.environment[name] for name in ("OS_AUTH_URL", "OS_REGION_NAME", "OS_CACERT")}
        user: Any = openstack.connect(load_yaml_config=False)
        own = {"name": secrets.token_hex(4), "secret": secrets.token_urlsafe(16)}
        made = user.identity.create_application_credential(
            self.user.id, access_rules=[dict(rule) for rule in rules], **own
        )
        return {
            **where,
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_APPLICATION_CREDENTIAL_ID": made.id,
            "OS_APPLICATION_CREDENTIAL_SECRET": own["secret"],
        }

    # -- what the cloud says, past our own code --------------------------------------------------------------

    def everything(self) -> frozenset[str]:
        deadline = time.monotonic() + 30
        while True:
            found = list(self._everything())
            if None not in found or time.monotonic() > deadline:
                return frozenset(one for one in found if one)
            time.sleep(0.2)

    def _everything(self) -> Iterator[str | None]:
        """The ids of all that the project has; None for what is on its way out."""
        admin, project = self.admin, self.project.id
        network = admin.network
        own = {"project_id": project}
        for listed in (network.networks, network.subnets, network.routers, network.ports, network.ips):
            yield from (one.id for one in listed(**own))
        yield from (one.id for one in network.security_groups(**own) if one.name != "default")
        for server in admin.compute.servers(all_projects=True, project_id=project):
            yield None if server.task_state == "deleting" else server.id
        for volume in admin.block_storage.volumes(all_projects=True, project_id=project):
            yield None if volume.status == "deleting" else volume.id
        yield from (one.id for one in admin.compute.server_groups(all_projects=True) if one.project_id == project)

    def drifts(self, engine: Any) -> Sequence[Drifted]:
        admin, ids = self.admin, {key: one.id for key, one in engine.world.items()}
        network = admin.network
        machine, group = ids["machine/worker-1"], ids["security_group/etcd"]
        first, volume, router = ids["machine/cp-1"], ids["volume/worker-1-data"], ids["router/main"]
        opened = {"direction": "ingress", "protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}
        rule = {"security_group_id": group, "remote_ip_prefix": "0.0.0.0/0", "ethertype": "IPv4", **opened}
        # Of the group's own project, as its users would make it.
        rule["project_id"] = self.project.id

        def alone(name: str) -> Drifted:
            key = f"floating_ip/{name}"
            return Drifted(key, "port", lambda: network.update_ip(ids[key], port_id=None))

        def subnet(**changes: Any) -> Callable[[], object]:
            return lambda: network.update_subnet(ids["subnet/main"], **changes)

        def tell(machine: str, name: str, value: str) -> Callable[[], object]:
            changed = {f"caravan.cluster.{name}": value}
            return lambda: admin.compute.set_server_metadata(machine, **changed)

        return [
            Drifted("network/main", "up", lambda: network.update_network(ids["network/main"], is_admin_state_up=False)),
            Drifted("subnet/main", "dns_servers", subnet(dns_nameservers=["192.0.2.53"])),
            Drifted("subnet/main", "dhcp", subnet(is_dhcp_enabled=False)),
            Drifted("security_group/etcd", "ingress", lambda: network.create_security_group_rule(**rule)),
            Drifted(
                "port/worker-1",
                "security_groups",
                lambda: network.update_port(ids["port/worker-1"], security_group_ids=[group]),
            ),
            Drifted("port/cp-1", "shared", lambda: network.update_port(ids["port/cp-1"], allowed_address_pairs=[])),
            # A router that addresses depend on cannot be changed.
            *(alone(name) for name in ("api", "cp-1", "worker-1")),
            Drifted(
                "router/main",
                "subnets",
                lambda: network.remove_interface_from_router(router, subnet_id=ids["subnet/main"]),
            ),
            Drifted("router/main", "external", lambda: network.update_router(router, external_gateway_info={})),
            Drifted("machine/worker-1", "pool", tell(machine, "pool", "theirs")),
            Drifted("machine/worker-1", "roles", tell(machine, "roles", "mirror")),
            Drifted("machine/worker-1", "running", lambda: self._stop(machine)),
            Drifted("volume/worker-1-data", "attached_to", lambda: self._detach(machine, volume)),
            Drifted("volume/worker-1-data", "size_gib", lambda: self._extend(volume), lasting=True),
            Drifted("machine/cp-1", "image", tell(first, "image", "debian/11")),
            Drifted("machine/cp-1", "root_disk", tell(first, "root-disk", "8 fast")),
            Drifted("machine/cp-1", "size", tell(first, "size", "large")),
            Drifted("machine/cp-1", "port", lambda: admin.compute.delete_server_interface(ids["port/cp-1"], first)),
            Drifted("machine/cp-1", "failed", lambda: admin.compute.reset_server_state(first, "error")),
        ]

    def _extend(self, volume: str) -> None:
        storage = self.admin.block_storage
        storage.extend_volume(volume, 150)
        deadline = time.monotonic() + 30
        while storage.get_volume(volume).size != 150 and time.monotonic() < deadline:
            time.sleep(0.2)

    def _stop(self, machine: str) -> None:
        server = self.admin.compute.get_server(machine)
        self.admin.compute.stop_server(server)
        self.admin.compute.wait_for_server(server, status="SHUTOFF", interval=0.2, wait=30)

    def _detach(self, machine: str, volume: str) -> None:
        self.admin.compute.delete_volume_attachment(machine, volume)
        found = self.admin.block_storage.get_volume(volume)
        self.admin.block_storage.wait_for_status(found, "available", interval=0.2, wait=30)
