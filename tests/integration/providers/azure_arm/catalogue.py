# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of resources that the server knows, and what an Azure region offers. Tables only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COMPUTE, NETWORK = "azure.mgmt.compute.models", "azure.mgmt.network.models"
STORAGE, VAULT = "azure.mgmt.storage.models", "azure.mgmt.keyvault.models"
AUTHORIZATION = "azure.mgmt.authorization.v2022_04_01.models"

# The api-versions of each namespace, or type where it has its own: those that the clients of the locked packages send.
# Others are refused.
VERSIONS = {
    "microsoft.compute": {"2026-04-01", "2026-03-02", "2026-03-03", "2021-07-01"},
    "microsoft.network": {"2026-03-01"},
    "microsoft.storage": {"2026-09-01"},
    "microsoft.keyvault": {"2026-05-15"},
    "microsoft.authorization": {"2022-04-01"},
    "microsoft.managedidentity": {"2024-11-30"},
    "microsoft.resources": {"2025-04-01"},
    "microsoft.network/dnszones": {"2018-05-01"},
}


@dataclass(frozen=True)
class Type:
    """model, patch: classes that bodies are checked with. lro: its changes are operations that go on after the answer.

    fixed: paths below `properties`, or names at the top, that no later PUT may change. in_use: the error's code where
    something else refers to it. parts: lists of named parts that get ids of their own. tags: how many at most.
    created: the status of the answer to a PUT of a new one.
    """

    model: str
    patch: str = ""
    lro: bool = True
    fixed: tuple[str, ...] = ("location",)
    in_use: str = "InUse"
    parts: tuple[str, ...] = ()
    tags: int = 50
    created: int = 201


TAGS = f"{NETWORK}.TagsObject"
TYPES = {
    "microsoft.resources/resourcegroups": Type(
        "azure.mgmt.resource.resources.models.ResourceGroup",
        "azure.mgmt.resource.resources.models.ResourceGroupPatchable",
        lro=False,
    ),
    "microsoft.network/virtualnetworks": Type(
        f"{NETWORK}.VirtualNetwork", TAGS, in_use="InUseSubnetCannotBeDeleted", parts=("subnets",)
    ),
    "microsoft.network/virtualnetworks/subnets": Type(f"{NETWORK}.Subnet", in_use="InUseSubnetCannotBeDeleted"),
    "microsoft.network/networksecuritygroups": Type(
        f"{NETWORK}.NetworkSecurityGroup",
        TAGS,
        in_use="InUseNetworkSecurityGroupCannotBeDeleted",
        parts=("securityRules",),
    ),
    "microsoft.network/publicipaddresses": Type(
        f"{NETWORK}.PublicIPAddress",
        TAGS,
        fixed=("location", "zones", "sku"),
        in_use="PublicIPAddressCannotBeDeleted",
    ),
    "microsoft.network/natgateways": Type(f"{NETWORK}.NatGateway", TAGS, in_use="NatGatewayInUseBySubnet"),
    "microsoft.network/loadbalancers": Type(
        f"{NETWORK}.LoadBalancer",
        TAGS,
        fixed=("location", "sku"),
        in_use="LoadBalancerInUse",
        parts=("frontendIPConfigurations", "backendAddressPools", "probes", "loadBalancingRules"),
    ),
    "microsoft.network/networkinterfaces": Type(
        f"{NETWORK}.NetworkInterface", TAGS, in_use="NicInUse", parts=("ipConfigurations",)
    ),
    "microsoft.compute/virtualmachines": Type(
        f"{COMPUTE}.VirtualMachine",
        f"{COMPUTE}.VirtualMachineUpdate",
        fixed=("location", "zones", "properties.osProfile", "properties.storageProfile.imageReference"),
    ),
    "microsoft.compute/disks": Type(
        f"{COMPUTE}.Disk",
        f"{COMPUTE}.DiskUpdate",
        fixed=("location", "zones"),
        in_use="OperationNotAllowed",
        created=202,
    ),
    "microsoft.compute/diskencryptionsets": Type(
        f"{COMPUTE}.DiskEncryptionSet",
        f"{COMPUTE}.DiskEncryptionSetUpdate",
        in_use="DiskEncryptionSetInUse",
        created=202,
    ),
    "microsoft.network/dnszones": Type("azure.mgmt.dns.models.Zone", "azure.mgmt.dns.models.ZoneUpdate", tags=15),
    "microsoft.network/dnszones/a": Type("azure.mgmt.dns.models.RecordSet", lro=False, fixed=()),
    "microsoft.storage/storageaccounts": Type(
        f"{STORAGE}.StorageAccountCreateParameters",
        f"{STORAGE}.StorageAccountUpdateParameters",
        tags=15,
        lro=False,
        created=200,
    ),
    "microsoft.storage/storageaccounts/blobservices": Type(f"{STORAGE}.BlobServiceProperties", lro=False),
    "microsoft.storage/storageaccounts/blobservices/containers": Type(f"{STORAGE}.BlobContainer", lro=False),
    "microsoft.storage/storageaccounts/blobservices/containers/immutabilitypolicies": Type(
        f"{STORAGE}.ImmutabilityPolicy", lro=False
    ),
    "microsoft.managedidentity/userassignedidentities": Type("azure.mgmt.msi.models.Identity", lro=False),
    "microsoft.authorization/roleassignments": Type(
        f"{AUTHORIZATION}.RoleAssignmentCreateParameters",
        lro=False,
        fixed=("properties.roleDefinitionId", "properties.principalId"),
    ),
    "microsoft.keyvault/vaults": Type(
        f"{VAULT}.VaultCreateOrUpdateParameters", f"{VAULT}.VaultPatchParameters", tags=15, lro=False
    ),
    "microsoft.keyvault/vaults/keys": Type(f"{VAULT}.KeyCreateParameters", lro=False, created=200),
}


@dataclass(frozen=True)
class Size:
    """One size of machines. `zones` is empty in a region without any."""

    name: str
    cpu: int
    memory: int
    family: str
    architecture: str = "x64"
    zones: tuple[str, ...] = ("1", "2", "3")

    def sku(self, location: str) -> dict[str, Any]:
        return {
            "resourceType": "virtualMachines",
            "name": self.name,
            "family": self.family,
            "locations": [location],
            "locationInfo": [{"location": location, "zones": list(self.zones)}],
            "capabilities": [
                {"name": "vCPUs", "value": str(self.cpu)},
                {"name": "MemoryGB", "value": str(self.memory)},
                {"name": "CpuArchitectureType", "value": self.architecture},
            ],
            "restrictions": [],
        }


SIZES = (
    Size("Standard_F2s_v2", 2, 4, "standardFSv2Family"),
    Size("Standard_F4s_v2", 4, 8, "standardFSv2Family"),
    Size("Standard_D2s_v5", 2, 8, "standardDSv5Family"),
    Size("Standard_D4s_v5", 4, 16, "standardDSv5Family"),
    Size("Standard_D8s_v5", 8, 32, "standardDSv5Family", zones=("1", "2")),
    Size("Standard_E2s_v5", 2, 16, "standardESv5Family"),
    Size("Standard_D2ps_v5", 2, 8, "standardDPSv5Family", "Arm64"),
)


@dataclass
class Region:
    """What can be had. Tests change it: a smaller quota, a zone without capacity."""

    locations: tuple[str, ...] = ("West Europe", "North Europe", "Germany West Central")
    zones: tuple[str, ...] = ("1", "2", "3")
    sizes: list[Size] = field(default_factory=lambda: list(SIZES))
    quota: dict[str, int] = field(default_factory=dict)  # cores by family; 100 where it is not named
    images: set[tuple[str, str, str]] = field(
        default_factory=lambda: {
            ("Debian", "debian-12", "12-gen2"),
            ("Debian", "debian-12", "12-arm64"),
            ("Debian", "debian-13", "13-gen2"),
            ("Canonical", "ubuntu-24_04-lts", "server"),
        }
    )

    def limit(self, family: str) -> int:
        return self.quota.get(family, 100)
