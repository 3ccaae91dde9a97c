# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the etcd modules have in common as modules."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from .client import Gateway, tls_context
from .local import LocalMember, Run
from .model import EtcdError


def common_spec() -> dict[str, Any]:
    return {
        "name": {"type": "str", "required": True},
        "members": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "peer_url": {"type": "str", "required": True},
                "client_url": {"type": "str", "required": True},
            },
        },
        "local_url": {"type": "str", "default": "https://127.0.0.1:2379"},
        "data_dir": {"type": "path", "default": "/var/lib/etcd"},
        "ca_certificate": {"type": "path", "default": "/etc/etcd/pki/ca.crt"},
        "client_certificate": {"type": "path", "default": "/etc/etcd/pki/client.crt"},
        "client_key": {"type": "path", "default": "/etc/etcd/pki/client.key", "no_log": False},
        "watched_files": {
            "type": "list",
            "elements": "path",
            "default": ["/etc/etcd/etcd.yml", "/etc/systemd/system/etcd.service", "/usr/local/bin/etcd"],
        },
    }


def gateway_of(parameters: Mapping[str, Any]) -> Gateway:
    """Raises EtcdError where the certificates are not there."""
    try:
        context = tls_context(parameters["ca_certificate"], parameters["client_certificate"], parameters["client_key"])
    except (OSError, ssl.SSLError) as error:
        raise EtcdError(
            f"etcd's client certificate {parameters['client_certificate']} cannot be used: {error}"
        ) from None
    others = {
        member["name"]: member["client_url"] for member in parameters["members"] if member["name"] != parameters["name"]
    }
    return Gateway(context, parameters["local_url"], others)


def local_of(parameters: Mapping[str, Any], run: Run) -> LocalMember:
    return LocalMember(parameters["name"], parameters["data_dir"], parameters["watched_files"], run)
