# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an API server lays its objects out in etcd. Pure.

    /registry/pods/<namespace>/<name>                    a built-in resource
    /registry/services/specs/<namespace>/<name>          services, and their endpoints, have two words
    /registry/<group>/<resource>/<namespace>/<name>      custom resources, and a few built-in ones

A value is Protobuf (`k8s`, a zero byte, then a message that wraps the object) or JSON; encrypted ones have a prefix
(see `secretbox`). Source: the package `k8s.io/apiserver/pkg/storage/etcd3` and `k8s.io/apimachinery/pkg/runtime`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .errors import BackupError
from .messages import Message

ROOT = "/registry"
# All keys that are not an API server's, together: there can be any number of them.
OTHER = "other"
PROTOBUF = b"k8s\x00"

# Field numbers of the messages runtime.Unknown and v1.ConfigMap, and of an entry of a map.
_UNKNOWN_RAW = 2
_CONFIG_MAP_DATA = 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def resource_of(key: str) -> str:
    """Return the resource of a key, `/registry/pods`; all keys outside of the registry are `other`."""
    words = key.split("/")
    if words[:2] != ["", ROOT[1:]] or len(words) < 3:
        return OTHER
    two = "." in words[2] or words[2] == "services"
    return "/".join(words[: 4 if two else 3])


def count(keys: Iterable[str]) -> dict[str, int]:
    """Return how many keys there are of each resource, sorted: {"/registry/pods": 12}."""
    return dict(sorted(Counter(resource_of(key) for key in keys).items()))


def is_object(value: bytes) -> bool:
    """Whether this is an object in the clear: Protobuf or JSON."""
    return value.startswith((PROTOBUF, b"{"))


def stored(value: bytes) -> Message:
    """Return the object in a value of etcd. BackupError when it is not Protobuf."""
    if not value.startswith(PROTOBUF):
        raise BackupError("an object is not Protobuf, which API servers write for all resources of their own")
    return Message(value[len(PROTOBUF) :]).message(_UNKNOWN_RAW)


def config_map_data(value: bytes) -> dict[str, str]:
    """Return the texts in a ConfigMap. BackupError when it is none."""
    if value.startswith(b"{"):
        try:
            document: Any = json.loads(value)
        except ValueError as error:
            raise BackupError(f"an object is not the JSON it looks like: {error}") from error
        data = document.get("data") or {}
        return {str(key): str(text) for key, text in data.items()}
    if not value.startswith(PROTOBUF):
        raise BackupError("an object is neither Protobuf nor JSON: it may be encrypted")
    entries = stored(value).messages(_CONFIG_MAP_DATA)
    return {entry.text(_ENTRY_KEY): entry.text(_ENTRY_VALUE) for entry in entries}


def cluster_settings(configuration: str) -> dict[str, str]:
    """Return cluster, endpoint, pod_cidr and service_cidr, as far as kubeadm's ClusterConfiguration says them."""
    try:
        import yaml
    except ImportError as error:
        raise BackupError("PyYAML is not installed (Debian: python3-yaml)") from error
    try:
        document: Any = yaml.safe_load(configuration) or {}
        networking = document.get("networking") or {}
        found = {
            "cluster": document.get("clusterName"),
            "endpoint": document.get("controlPlaneEndpoint"),
            "pod_cidr": networking.get("podSubnet"),
            "service_cidr": networking.get("serviceSubnet"),
        }
    except (yaml.YAMLError, AttributeError) as error:
        raise BackupError(f"kubeadm's ClusterConfiguration cannot be read: {error}") from error
    return {what: str(said) for what, said in found.items() if said}
