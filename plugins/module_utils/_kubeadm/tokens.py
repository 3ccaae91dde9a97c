# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens: short-lived Secrets with which a machine may ask to join."""

from __future__ import annotations

import base64
import datetime
import secrets
import string
from typing import Any, Callable

from .api import Api, ApiError

DESCRIPTION = "caravan"
PATH = "/api/v1/namespaces/kube-system/secrets"
GROUP = "system:bootstrappers:kubeadm:default-node-token"
_ALPHABET = string.ascii_lowercase + string.digits


def generate(choice: Callable[[str], str] = secrets.choice) -> str:
    """Return a new token, id.secret."""
    return "{}.{}".format("".join(choice(_ALPHABET) for _ in range(6)), "".join(choice(_ALPHABET) for _ in range(16)))


def secret(token: str, now: datetime.datetime, ttl_seconds: int) -> dict[str, Any]:
    """Return the Secret that makes `token` valid for `ttl_seconds`. Pure."""
    identifier, value = token.split(".")
    expiration = (now + datetime.timedelta(seconds=ttl_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-" + identifier, "namespace": "kube-system"},
        "stringData": {
            "token-id": identifier,
            "token-secret": value,
            "expiration": expiration,
            "usage-bootstrap-authentication": "true",
            "description": DESCRIPTION,
            "auth-extra-groups": GROUP,
        },
    }


def create(client: Api, ttl_seconds: int) -> str:
    """Make a token in the cluster and return it."""
    token = generate()
    client.request("POST", PATH, secret(token, datetime.datetime.now(datetime.timezone.utc), ttl_seconds))
    return token


def listed(client: Api) -> list[str]:
    """Return the names of the Secrets of every token Caravan made and did not remove."""
    answer = client.request("GET", PATH, query="fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken")
    wanted = base64.b64encode(DESCRIPTION.encode()).decode()
    return [
        item["metadata"]["name"] for item in answer["items"] if (item.get("data") or {}).get("description") == wanted
    ]


def remove_all(client: Api) -> int:
    """Remove every token Caravan made, also one a killed run left; return how many there were."""
    removed = 0
    for name in listed(client):
        try:
            client.request("DELETE", PATH + "/" + name)
            removed += 1
        except ApiError as error:
            if error.status != 404:
                raise
    return removed
