# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host's API server uses the configuration that lies on its disk: it tells its digest."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Callable

from .._kubeadm import observe
from .._kubeadm.api import Api, from_kubeconfig
from .._kubeadm.errors import KubeadmError
from .errors import EncryptionError

ADMIN_CONF = "/etc/kubernetes/admin.conf"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
# An API server looks once a minute.
POLL_SECONDS = 1.0
_LOADED = re.compile(
    r'^apiserver_encryption_config_controller_last_config_info\{[^}]*\bhash="sha256:([0-9a-f]{64})"[^}]*\} 1(?:\.0)?$',
    re.MULTILINE,
)
_FAILED = re.compile(
    r'^apiserver_encryption_config_controller_automatic_reloads_total\{[^}]*status="failure"[^}]*\} (\S+)$',
    re.MULTILINE,
)


def digest(content: bytes) -> str:
    """Return the digest of a configuration as API servers tell it."""
    return hashlib.sha256(content).hexdigest()


def loaded_digest(metrics: str) -> str:
    """Return the digest an API server's metrics tell; empty when they tell none. Pure."""
    match = _LOADED.search(metrics)
    return match.group(1) if match else ""


def failures(metrics: str) -> int:
    """Return how often the API server could not load a configuration since it began. Pure."""
    match = _FAILED.search(metrics)
    return int(float(match.group(1))) if match else 0


def client(address: str, port: int) -> Api:
    """Return an administrator's client of the API server on this host."""
    return from_kubeconfig(ADMIN_CONF, address, port)


def metrics_of(api: Api) -> str:
    """Return an API server's metrics."""
    return str(api.request("GET", "/metrics", accept="text/plain"))


def problem(path: str, address: str, port: int, manifest: str = MANIFEST) -> tuple[str, str]:
    """Return (why keys cannot be rotated with this host as it is, digest of what its API server uses)."""
    pod = Path(manifest)
    text = pod.read_text() if pod.is_file() else ""
    flag = re.search(r"--encryption-provider-config=(\S+)", text)
    if flag is None:
        return f"{manifest} has no --encryption-provider-config: run site.yml first", ""
    if flag.group(1) == path:
        # That pod has the file alone, and would never see one that is put into its place.
        return "its API server has the file itself mounted, not its folder: run site.yml first", ""
    if "--encryption-provider-config-automatic-reload=true" not in text:
        return f"{manifest} lacks --encryption-provider-config-automatic-reload=true", ""
    healthy, seen = observe.wait_ready(address, port, 10.0)
    if not healthy:
        return f"its API server is not ready: {seen}", ""
    try:
        loaded = loaded_digest(metrics_of(client(address, port)))
    except KubeadmError as error:
        return f"its API server does not tell its metrics: {error}", ""
    if not loaded:
        return "its API server does not tell which configuration it uses; Kubernetes 1.35 or later does", ""
    return "", loaded


def wait_loaded(
    wanted: str,
    ask: Callable[[], str],
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until the API server uses the configuration with this digest; return the seconds. `ask` gets its metrics."""
    begin = clock()
    seen = ""
    while True:
        try:
            metrics = ask()
            if loaded_digest(metrics) == wanted:
                return clock() - begin
            seen = f"it uses {loaded_digest(metrics)[:12] or 'none'}, {failures(metrics)} attempts to load have failed"
        except (KubeadmError, OSError) as error:
            seen = str(error)
        if clock() - begin >= timeout:
            raise EncryptionError(
                f"The API server of this host has not loaded the configuration {wanted[:12]} within {timeout:g} s; "
                f"seen last: {seen}. No object has become unreadable. See its log, then run again."
            )
        sleep(POLL_SECONDS)
