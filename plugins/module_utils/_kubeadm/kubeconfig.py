# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the kubeconfig files kubeadm writes, without a YAML library. Pure."""

from __future__ import annotations

import base64
import binascii
import re

_FIELD = re.compile(
    r"^\s*(server|tls-server-name|certificate-authority-data|client-certificate-data|client-key-data"
    r"|client-certificate|client-key|certificate-authority):\s*\"?([^\s\"]+)\"?\s*$",
    re.MULTILINE,
)


def parse(text: str) -> dict[str, str]:
    """Return the fields of the (single) cluster and user; the *-data ones decoded to PEM text.

    Raises ValueError for a file that is cut off or otherwise unusable.
    """
    fields = {match.group(1): match.group(2) for match in _FIELD.finditer(text)}
    for name in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
        if name in fields:
            try:
                fields[name] = base64.b64decode(fields[name], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise ValueError(f"{name} is not valid: {error}") from error
            if "-----END" not in fields[name]:
                raise ValueError(f"{name} is cut off")
    if "server" not in fields:
        raise ValueError("no server is named")
    return fields


def usable(text: str) -> bool:
    """Say whether a kubeconfig is whole: a server, and a client certificate (embedded or as a file)."""
    try:
        fields = parse(text)
    except ValueError:
        return False
    return "client-certificate-data" in fields or "client-certificate" in fields


def for_users(admin_conf: str, cluster_name: str, server: str, tls_server_name: str) -> str:
    """Return an administrator's kubeconfig with the server that users reach, from one that kubeadm wrote."""
    fields = parse(admin_conf)

    def encoded(name: str) -> str:
        return base64.b64encode(fields[name].encode()).decode()

    lines = [
        "apiVersion: v1",
        "kind: Config",
        "clusters:",
        f"- name: {cluster_name}",
        "  cluster:",
        f"    server: {server}",
        *([f"    tls-server-name: {tls_server_name}"] if tls_server_name else []),
        f"    certificate-authority-data: {encoded('certificate-authority-data')}",
        "users:",
        f"- name: {cluster_name}-admin",
        "  user:",
        f"    client-certificate-data: {encoded('client-certificate-data')}",
        f"    client-key-data: {encoded('client-key-data')}",
        "contexts:",
        f"- name: {cluster_name}",
        "  context:",
        f"    cluster: {cluster_name}",
        f"    user: {cluster_name}-admin",
        f"current-context: {cluster_name}",
    ]
    return "\n".join(lines) + "\n"
