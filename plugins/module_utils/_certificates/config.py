# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a host that renews its certificates. Nothing in it is secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CertificateError
from .leaves import Site

FILE = Path("/etc/caravan/certificates.json")


@dataclass(frozen=True)
class Config:
    """What the program goes by.

    `parts`: the groups the host is in, of etcd and control_plane. `members`: etcd's client URLs by name. `api_servers`:
    their addresses by the names of their nodes. `user_hours`: how long a certificate of the approver lives. `timeout`:
    the seconds each component has to be well again. `patience`: those the cluster has to be well before anything.
    """

    cluster: str
    node: str
    parts: list[str]
    site: Site
    members: dict[str, str]
    api_servers: dict[str, str]
    api_port: int
    kubeadm: str
    user_hours: int
    timeout: float
    patience: float
    metrics: Path


def load(path: Path = FILE) -> Config:
    """Read the configuration. CertificateError says what is wrong with it."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CertificateError(f"{path} is not JSON: {error}") from error
    try:
        return parse(document)
    except (KeyError, TypeError, ValueError) as error:
        raise CertificateError(f"{path} lacks {error}, or has something else in its place") from error


def parse(document: Mapping[str, Any]) -> Config:
    """Return the configuration of a document."""
    return Config(
        cluster=str(document["cluster"]),
        node=str(document["node"]),
        parts=[str(part) for part in document["parts"]],
        site=Site(**document["site"]),
        members={str(name): str(url) for name, url in document["members"].items()},
        api_servers={str(name): str(address) for name, address in document["api_servers"].items()},
        api_port=int(document["api_port"]),
        kubeadm=str(document["kubeadm"]),
        user_hours=int(document["user_hours"]),
        timeout=float(document["timeout"]),
        patience=float(document["patience"]),
        metrics=Path(document["metrics"]),
    )
