# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure by a resource manager of our own, in this process and over TLS, with our middleware in front of it."""

from __future__ import annotations

import datetime
import json
import logging
import os
import secrets
import shutil
import ssl
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import tls
from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port
from ansible_collections.caravan.cluster.plugins.module_utils._providers import spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure.api import Api
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure.settings import Settings
from ansible_collections.caravan.cluster.plugins.module_utils._providers.azure.strategy import Azure
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from azure_arm.arm import CLIENT, SUBSCRIPTION, TENANT, Arm
from azure_arm.paths import parse
from backend import Drifted, portable
from serving import Lasting
from traffic import Answer, Dialect, Environ, Request, Traffic
from werkzeug.serving import make_server

LOCATION = "westeurope"
ZONE = "example.org"
# What people have made before: a group of theirs, where all clusters of the tests live side by side, and another one.
GROUP, OTHERS = "platform", "network-team"


def request(environ: Environ, body: bytes) -> Request:
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    # Tokens change nothing, and neither do questions that are asked by POST.
    asking = path.startswith(f"/{TENANT}/") or path.lower().endswith("/checknameavailability")
    listing = method == "GET" and "/resourcegroups" in path.lower() and parse(path).is_list
    return Request(f"{method} {path}", method not in ("GET", "HEAD") and not asking, listing)


def error(status: str, code: str) -> Answer:
    text = json.dumps({"error": {"code": code, "message": "test"}})
    return Answer(status, text.encode(), "application/json")


DIALECT = Dialect(
    request=request,
    throttled=lambda request: error("429 Too Many Requests", "TooManyRequests"),
    conflict=lambda request: error("409 Conflict", "AnotherOperationInProgress"),
    refused=lambda request: error("400 Bad Request", "TestCrashed"),
)


class AzureBackend:
    # What Azure has no call to change, what is another resource by then (groups), and what is in use.
    fixed = frozenset(
        """
        address.group balancer.address balancer.group balancer.subnet bucket.group bucket.lockable grant.principal
        grant.role grant.scope identity.group interface.group interface.subnet key.group key.vault
        machine.failure_domain machine.group machine.interface machine.preemptible network.cidr network.group
        network.subnet security_group.group vault.group volume.failure_domain volume.group volume.key
        """.split()
    )
    patience = Patience(limit=20, first=0.005, longest=0.05)

    def __init__(self) -> None:
        logging.getLogger("azure").setLevel(logging.CRITICAL)
        self.arm = Arm(secrets.token_urlsafe(16))
        self.traffic = Traffic(DIALECT)
        self.directory = Path(tempfile.mkdtemp(prefix="azure-arm-"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificates())
        application = self.traffic.around(self.arm)
        self.server = make_server(
            "127.0.0.1", free_port(), application, True, request_handler=Lasting, ssl_context=context
        )
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"https://localhost:{self.server.server_port}"
        # The SDK's own variables.
        self.environment = {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": self.arm.secret,
        }
        os.environ.update(self.environment)
        self.api = Api(Settings.read(self.settings(), []))
        self.reset()

    def _certificates(self) -> tuple[Path, Path]:
        now = datetime.datetime.now(datetime.timezone.utc)
        ca_key, _pem = tls.new_key()
        key, key_pem = tls.new_key()
        ca = tls.authority(ca_key, "Azure of the tests", now)
        certificate, secret = self.directory / "server.crt", self.directory / "server.key"
        (self.directory / "ca.crt").write_bytes(ca)
        certificate.write_bytes(tls.server(ca, ca_key, key, ["localhost", "127.0.0.1"], now))
        secret.touch(mode=0o600)
        secret.write_bytes(key_pem)
        return certificate, secret

    def reset(self) -> None:
        self.traffic.calm()
        self.arm.reset()
        subscription = f"/subscriptions/{SUBSCRIPTION}/resourceGroups"
        for group in (GROUP, OTHERS):
            self.arm.add(f"{subscription}/{group}", {"location": LOCATION})
        zone = f"{subscription}/{OTHERS}/providers/Microsoft.Network/dnsZones/{ZONE}"
        self.arm.add(zone, {"location": "global", "properties": {"zoneType": "Public"}})
        theirs = f"{subscription}/{GROUP}/providers/Microsoft.Network/publicIPAddresses/theirs"
        self.arm.add(theirs, {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {}})
        self.traffic.clear()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        shutil.rmtree(self.directory)
        for name in self.environment:
            os.environ.pop(name, None)

    def description(self, name: str = "demo", **changes: Any) -> dict[str, Any]:
        return portable(ZONE, name, grants=["bucket.write", "dns.write", "key.use", "volume.attach"], **changes)

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "subscription_id": SUBSCRIPTION,
            "tenant_id": TENANT,
            "location": LOCATION,
            "resource_group": GROUP,
            "resource_manager": self.url,
            "authority": self.url,
            "ca_file": str(self.directory / "ca.crt"),
            **changes,
        }

    def strategy(self, description: dict[str, Any], **settings: Any) -> Azure:
        strategy = Azure(spec_read.read(description), self.settings(**settings))
        if not settings and self.environment.items() <= os.environ.items():
            # Clients take a tenth of a second and a handshake each, and a test has many strategies: they share theirs.
            strategy.api.client = self.api.client  # type: ignore[method-assign]
        return strategy

    def everything(self) -> frozenset[str]:
        with self.arm.lock:
            return frozenset(self.arm.resources)

    def drifts(self, engine: Any) -> Sequence[Drifted]:
        ids = {key: one.id for key, one in engine.world.items()}
        properties = {key: self.arm.resources[id]["properties"] for key, id in ids.items()}
        address = next(iter(properties["interface/cp-1"]["ipConfigurations"]))["properties"]
        service = self.arm.resources[f"{ids['bucket/backup']}/blobservices/default"]["properties"]
        rule = properties["security_group/cp"]["securityRules"][0]["properties"]
        opened = {"name": "all", "properties": {**rule, "priority": 101, "destinationPortRange": "0-65535"}}
        lock = properties["bucket/backup"]["immutableStorageWithVersioning"]["immutabilityPolicy"]
        machine = self.arm.resources[ids["machine/worker-1"]]
        view, key = properties["machine/worker-1"]["instanceView"], properties["key/disks"]
        detach = {"dataDisksToDetach": [{"diskId": ids["volume/worker-1-data"]}]}
        balancer, first = properties["balancer/api"], self.arm.resources[ids["machine/cp-1"]]
        ports = balancer["loadBalancingRules"][0]["properties"]
        subnets = [
            properties["network/main"]["subnets"][0]["properties"],
            self.arm.resources[f"{ids['network/main']}/subnets/nodes"]["properties"],
        ]
        nat = f"{ids['network/main'].rpartition('/virtualnetworks/')[0]}/natgateways/theirs"
        container = f"{ids['bucket/backup']}/blobservices/default/containers/backup"
        grants = [id for id in self.arm.resources if f"{ids['vault/main']}/providers/microsoft.authorization" in id]
        encryption = next(id for id in grants if id not in ids.values())
        return [
            Drifted(
                "security_group/cp", "rules", lambda: properties["security_group/cp"]["securityRules"].append(opened)
            ),
            Drifted("interface/cp-1", "pools", lambda: address.pop("loadBalancerBackendAddressPools")),
            Drifted("interface/cp-1", "address", lambda: address.pop("publicIPAddress")),
            Drifted("network/main", "nat", lambda: [one.update(natGateway={"id": nat}) for one in subnets]),
            Drifted("balancer/api", "port", lambda: ports.update(frontendPort=443)),
            Drifted("machine/worker-1", "pool", lambda: machine["tags"].update({"caravan.cluster.pool": "theirs"})),
            Drifted(
                "machine/cp-1", "size", lambda: first["properties"]["hardwareProfile"].update(vmSize="Standard_D8s_v5")
            ),
            Drifted("machine/cp-1", "image", lambda: first["tags"].update({"caravan.cluster.image": "debian/11"})),
            Drifted(
                "machine/cp-1",
                "root_disk",
                lambda: first["tags"].update({"caravan.cluster.root-disk": "8 standard platform"}),
            ),
            Drifted(
                "volume/worker-1-data",
                "storage",
                lambda: self.arm.resources[ids["volume/worker-1-data"]].update(sku={"name": "Standard_LRS"}),
            ),
            Drifted(
                "volume/worker-1-data",
                "size_gib",
                lambda: properties["volume/worker-1-data"].update(diskSizeGB=150),
                lasting=True,
            ),
            Drifted("bucket/backup", "container", lambda: self.arm.resources.pop(container)),
            Drifted("interface/worker-1", "security_group", lambda: self._swap_groups(ids)),
            Drifted("balancer/api", "health_path", lambda: balancer["probes"][0]["properties"].update(requestPath="/")),
            Drifted(
                "record/api", "values", lambda: properties["record/api"].update(ARecords=[{"ipv4Address": "192.0.2.9"}])
            ),
            Drifted("machine/worker-1", "running", lambda: view.update(statuses=[{"code": "PowerState/deallocated"}])),
            Drifted("machine/worker-1", "roles", lambda: machine["tags"].update({"caravan.cluster.roles": "mirror"})),
            Drifted("machine/cp-1", "identity", lambda: self.arm.resources[ids["machine/cp-1"]].pop("identity")),
            Drifted("volume/worker-1-data", "attached_to", lambda: self.arm.behaviour.attach_detach(machine, detach)),
            Drifted("key/disks", "rotation", lambda: key.update(rotationToLatestKeyVersionEnabled=False)),
            Drifted("key/disks", "granted", lambda: self.arm.resources.pop(encryption)),
            Drifted("vault/main", "closed", lambda: properties["vault/main"].update(enableRbacAuthorization=False)),
            Drifted("bucket/backup", "closed", lambda: properties["bucket/backup"].update(allowBlobPublicAccess=True)),
            Drifted("bucket/backup", "versioning", lambda: service.update(isVersioningEnabled=False)),
            Drifted("bucket/backup", "lock_days", lambda: lock.update(immutabilityPeriodSinceCreationInDays=1)),
        ]

    def _swap_groups(self, ids: dict[str, str]) -> None:
        interface = self.arm.resources[ids["interface/worker-1"]]
        interface["properties"]["networkSecurityGroup"] = {"id": ids["security_group/cp"]}
