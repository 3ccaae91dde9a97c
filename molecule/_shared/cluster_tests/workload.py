# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster holds that is backed up and restored: thousands of objects, Secrets, and a workload that runs."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .api import Api
from .waiting import wait_until

NAMESPACE = "caravan-restore"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
DEPLOYMENT = f"{DEPLOYMENTS}/web"
OBJECTS = 3000
SECRETS = 200
IMAGE = "registry.k8s.io/pause:3.10.1"


def fill(api: Api) -> None:
    """Make it all, and wait until the workload runs."""
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    with ThreadPoolExecutor(8) as pool:
        names = [f"object-{number}" for number in range(OBJECTS)]
        list(pool.map(lambda name: api.create(f"{CORE}/configmaps", {"metadata": {"name": name}}), names))
        secrets = [secret(name) for name in secret_names()]
        list(pool.map(lambda body: api.create(f"{CORE}/secrets", body), secrets))
    api.create(f"{CORE}/serviceaccounts", {"metadata": {"name": "robot"}})
    api.create(
        DEPLOYMENTS,
        {
            "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("web")},
        },
    )
    api.create(f"{CORE}/pods", {**template("alone"), "metadata": {"name": "alone"}})
    wait_until("the workload", lambda: runs(api), timeout=120, interval=0.5)


def template(name: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": IMAGE}]},
    }


def secret_names() -> list[str]:
    return [f"secret-{number}" for number in range(SECRETS)]


def secret(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"value": base64.b64encode(name.encode()).decode()}}


def runs(api: Api, replicas: int = 2) -> tuple[bool, str]:
    """Whether the Deployment's pods run, and no others."""
    pods = api.get(f"{CORE}/pods", labelSelector="app=web")["items"]
    phases = [pod["status"].get("phase", "") for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return phases == ["Running"] * replicas, f"phases of the pods: {phases}"


def objects(api: Api) -> int:
    """How many of the objects are there."""
    listed = api.get(f"{CORE}/configmaps")["items"]
    return len([item for item in listed if item["metadata"]["name"].startswith("object-")])


def values(api: Api) -> dict[str, str]:
    """What is in the Secrets, by name."""
    listed = api.get(f"{CORE}/secrets")["items"]
    return {item["metadata"]["name"]: base64.b64decode(item["data"]["value"]).decode() for item in listed}


def wanted_values(more: Iterable[str] = ()) -> dict[str, str]:
    return {name: name for name in (*secret_names(), *more)}
