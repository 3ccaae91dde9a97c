# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the haproxy that stands in for a load balancer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .model import Balancer

PATH = "etc/haproxy/stand_in.cfg"
# Connections go through untouched, and machines are asked as the provider's health checks ask: over TLS, which they do
# not verify.
HEAD = """\
global
    maxconn 500
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 3s
"""
PORT = """\
listen {name}-{port}
    bind *:{port}
    option httpchk GET {health_path}
    http-check expect status 200
    default-server check check-ssl verify none inter 2s fastinter 500ms downinter 500ms fall 2 rise 1
"""


def configurations(balancers: Sequence[Balancer]) -> dict[str, str]:
    """By the load balancer's name; it may have several ports."""
    found: dict[str, str] = {}
    for one in sorted(balancers, key=lambda one: (one.name, one.port)):
        port = PORT.format(name=one.name, port=one.port, health_path=one.health_path)
        servers = [f"    server s{number} {address}:{target}\n" for number, (address, target) in enumerate(one.targets)]
        found[one.name] = found.get(one.name, HEAD) + port + "".join(servers)
    return found
