# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verbs of identities are as Azure's built-in roles, and how far each reaches."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from ..model import Ref
from ..spec import Identity, Spec

GROUP, BUCKETS, ZONE, VAULT = "group", "buckets", "zone", "vault"
# {verb: (name, id of the built-in role, what it is given on)}
ROLES = {
    "balancer.manage": ("Network Contributor", "4d97b98b-1d4f-4787-a291-c67834d212e7", GROUP),
    "bucket.read": ("Storage Blob Data Reader", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", BUCKETS),
    "bucket.write": ("Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe", BUCKETS),
    "dns.write": ("DNS Zone Contributor", "befefa01-2a29-4197-83a8-272ff33ce314", ZONE),
    "key.use": ("Key Vault Crypto User", "12338af0-0e69-4776-bea7-57ae8d297424", VAULT),
    "machine.read": ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7", GROUP),
    "volume.attach": ("Virtual Machine Contributor", "9980e02c-c2be-4d73-94e8-173b1dc7cf3c", GROUP),
}
# The names of role assignments are UUIDs: ours follow from what they are about, so that none is made twice.
GRANTS = uuid.UUID("6a3f4e0e-2f4b-5b0e-8c52-1b1f6b0f4e77")
# What an encryption set needs of the vault that holds its key.
ENCRYPTION = "e147488a-f6f5-4113-8e2d-b22465e65bf6"  # Key Vault Crypto Service Encryption User


def grants(spec: Spec, identity: Identity, group: str | Ref, zone: str) -> Iterator[tuple[str, str, str | Ref]]:
    """(name, role's id, scope) of all that an identity is given. group: id of the resource group; zone: of the zone."""
    for verb in sorted(set(identity.grants)):
        _name, role, where = ROLES[verb]
        title = f"{identity.name}-{verb}"
        if where == GROUP:
            yield title, role, group
        elif where == ZONE and zone:
            yield title, role, zone
        elif where == VAULT and spec.keys:
            yield title, role, Ref("vault/main")
        elif where == BUCKETS:
            for bucket in spec.buckets:
                yield f"{title}-{bucket.name}", role, Ref(f"bucket/{bucket.name}")


def assignment(subscription: str, role: str, principal: str, **more: str) -> dict[str, Any]:
    """The body of a role assignment."""
    roles = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions"
    return {
        "properties": {
            "roleDefinitionId": f"{roles}/{role}",
            "principalId": principal,
            # Azure then does not look for a new identity in a directory that has not heard of it yet.
            "principalType": "ServicePrincipal",
            **more,
        }
    }
