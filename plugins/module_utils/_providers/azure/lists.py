# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of what is in a resource group, asked without the clients of azure-mgmt-compute and azure-mgmt-network.

Those two take seconds and half a gigabyte to be imported. Who only looks (an inventory, a plan that finds nothing to
do) needs none of what is in them: a list is one GET, whose answer is JSON already. Whoever changes something goes by
the clients, which know more of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# {list of a client: (type, api-version)}. The versions are those that the clients of the locked packages send, as the
# tests' stand-in knows no others.
COMPUTE, DISKS, NETWORK = "2026-04-01", "2026-03-02", "2026-03-01"
LISTS = {
    "compute.virtual_machines.list": ("Microsoft.Compute/virtualMachines", COMPUTE),
    "compute.disks.list_by_resource_group": ("Microsoft.Compute/disks", DISKS),
    "compute.disk_encryption_sets.list_by_resource_group": ("Microsoft.Compute/diskEncryptionSets", DISKS),
    "network.load_balancers.list": ("Microsoft.Network/loadBalancers", NETWORK),
    "network.nat_gateways.list": ("Microsoft.Network/natGateways", NETWORK),
    "network.network_interfaces.list": ("Microsoft.Network/networkInterfaces", NETWORK),
    "network.network_security_groups.list": ("Microsoft.Network/networkSecurityGroups", NETWORK),
    "network.public_ip_addresses.list": ("Microsoft.Network/publicIPAddresses", NETWORK),
    "network.virtual_networks.list": ("Microsoft.Network/virtualNetworks", NETWORK),
}


def client(credential: Any, base_url: str, scope: str, options: Mapping[str, Any]) -> Any:
    """A client of the resource manager that knows no types. `options` as those of azure-mgmt have them."""
    from azure.core.pipeline import policies
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

    chain = [
        policies.RequestIdPolicy(**options),
        policies.UserAgentPolicy(sdk_moniker="caravan", **options),
        policies.RetryPolicy(**options),
        ARMChallengeAuthenticationPolicy(credential, scope, **options),
    ]
    return ARMPipelineClient(base_url=base_url, policies=chain, **options)


def pages(manager: Any, operation: str, subscription: str, group: str, **options: Any) -> Iterator[dict[str, Any]]:
    """All items. Raise HttpResponseError. options: query parameters, such as `expand`."""
    from azure.core.rest import HttpRequest

    type, version = LISTS[operation]
    parameters = {"api-version": version, **{f"${name}": value for name, value in options.items()}}
    place = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{type}"
    request = HttpRequest("GET", place, params=parameters)
    while True:
        response = manager.send_request(_absolute(manager, request))
        response.raise_for_status()
        answer = response.json()
        yield from answer.get("value") or ()
        if not answer.get("nextLink"):
            return
        request = HttpRequest("GET", answer["nextLink"])


def _absolute(manager: Any, request: Any) -> Any:
    request.url = manager.format_url(request.url)
    return request
