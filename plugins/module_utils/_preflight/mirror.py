# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the artifact mirror, where one is used, answers and holds what the inventory asks for.

The controller asks in the nodes' place. Where it cannot resolve the mirror's name, it goes by the address of the hosts
in the group `mirror`, and still checks the certificate by the name.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .problem import Problem
from .spec import shown

MIRROR = "mirror"


def check(settings: dict[str, Any], addresses: list[str], names: Iterable[str]) -> Iterator[Problem]:
    """`settings` are a host's; `addresses` those of the group mirror; `names` all names of the artifact catalogue."""
    if settings.get("artifacts_source") != "mirror":
        return
    url, registry = str(settings.get("artifacts_mirror_url") or ""), str(settings.get("artifacts_registry") or "")
    ca = str(settings.get("artifacts_mirror_ca") or "")
    timeout = float(settings.get("preflight_mirror_timeout", 5))
    if ca and not Path(ca).is_file():
        yield Problem(
            MIRROR, f"the file {ca} does not exist", "the certificate of the mirror's CA", "artifacts_mirror_ca"
        )
    for name, value, path in (
        ("artifacts_mirror_url", url, "/"),
        ("artifacts_registry", f"https://{registry}" if registry and "://" not in registry else registry, "/v2/"),
    ):
        parts = urlsplit(value)
        if not value:
            yield Problem(MIRROR, f"{name} is not set", "its address, as artifacts_source is mirror", name)
        elif parts.scheme != "https" or not parts.hostname:
            yield Problem(MIRROR, f"{name} is {shown(value)}", "an https address: artifacts travel over TLS only", name)
        elif timeout > 0 and (not ca or Path(ca).is_file()):
            reason = reach(parts.hostname, parts.port or 443, path, ca, addresses, timeout)
            if reason:
                wanted = "a mirror that answers over TLS"
                yield Problem(MIRROR, f"{value} does not answer ({reason})", wanted, f"{name} or artifacts_mirror_ca")
    yield from check_index(settings, names)


def check_index(settings: dict[str, Any], names: Iterable[str]) -> Iterator[Problem]:
    path = str(settings.get("artifacts_mirror_index") or "")
    if not path:
        wanted = "the path of the mirror's index"
        yield Problem(MIRROR, "artifacts_mirror_index is not set", wanted, "artifacts_mirror_index")
        return
    try:
        index = json.loads(Path(path).read_text(encoding="utf-8"))
        held = {(str(entry["name"]), str(entry["version"])) for kind in ("files", "images") for entry in index[kind]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        seen = f"the mirror's index {path} cannot be read ({type(error).__name__})"
        wanted = "that of a mirror filled by playbooks/mirror.yml"
        yield Problem(MIRROR, seen, wanted, "artifacts_mirror_index")
        return
    for name, version, variable in wanted_artifacts(settings, names):
        if (name, version) not in held:
            others = sorted(other for candidate, other in held if candidate == name)
            seen = f"the mirror has no {name} {version}"
            has = f"one of {', '.join(others)}" if others else "it there"
            yield Problem(MIRROR, f"{seen}; playbooks/mirror.yml fills it", has, variable)


KUBERNETES = (
    "kubeadm",
    "kubectl",
    "kubelet",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)


def wanted_artifacts(settings: dict[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(name, version, variable) of what the versions in the settings ask for.

    A variable `<role>_<name>_version`, or `<name>_version`, asks for the artifact of that name, if there is one.
    """
    known = set(names)
    for name in KUBERNETES:
        if name in known and settings.get("cluster_kubernetes_version"):
            yield name, str(settings["cluster_kubernetes_version"]), "cluster_kubernetes_version"
    for variable in sorted(settings):
        if not variable.endswith("_version") or variable.startswith("cluster_") or not settings[variable]:
            continue
        words = variable.split("_")[:-1]
        stems = ("-".join(words[start:]) for start in range(len(words)))
        name = next((stem for stem in stems if stem in known), "")
        other = name.startswith("flannel") and settings.get("network_provider", "flannel") != "flannel"
        if name and not other:
            yield name, str(settings[variable]), variable


def reach(host: str, port: int, path: str, ca: str, addresses: list[str], timeout: float) -> str:
    """Empty where a server with the right certificate answers anything at all, else the reason why not."""
    try:
        context = ssl.create_default_context(cafile=ca or None)
        with (
            connect(host, port, addresses, timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            secure.sendall(f"HEAD {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            response = http.client.HTTPResponse(secure)
            response.begin()
            return f"HTTP {response.status}" if response.status >= 500 else ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused: {error.verify_message}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def connect(host: str, port: int, addresses: list[str], timeout: float) -> socket.socket:
    try:
        candidates = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except socket.gaierror:
        if not addresses:
            raise
        candidates = addresses
    failure: OSError = OSError("no address")
    for address in candidates:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    raise failure
