# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments that the kubeadm modules share, and what they do alike. Documented in doc_fragments/kubeadm.py."""

from __future__ import annotations

import time
from typing import Any, Callable

from . import api, observe
from .errors import KubeadmError
from .steps import Steps, locked

API: dict[str, Any] = {
    "node_address": {"type": "str", "required": True},
    "port": {"type": "int", "default": 6443},
}
STATIC_PODS: dict[str, Any] = {
    "config_files": {"type": "list", "elements": "path", "default": []},
    "cert_sans": {"type": "list", "elements": "str", "default": []},
}
NODE: dict[str, Any] = {
    "cluster": {"type": "dict", "required": True},
    "ignore_preflight_errors": {"type": "list", "elements": "str", "default": []},
    "api_timeout": {"type": "int", "default": 240},
    "lock_timeout": {"type": "int", "default": 300},
}


def client_of(params: dict[str, Any]) -> api.Api:
    """Return a client of this node's own API server, with its administrator's rights."""
    return api.from_kubeconfig(observe.KUBERNETES + "/admin.conf", params["node_address"], params["port"])


def perform(module: Any, params: dict[str, Any], wanted: Callable[[], list[str]], lock_timeout: float) -> None:
    """Do what is wanted, in check mode only say it, and end the module.

    `wanted` looks at the host and returns steps. It is asked again under the lock: an earlier run, cut off from its
    controller, may have come to its end meanwhile.
    """
    began = time.monotonic()
    try:
        steps = wanted()
        if steps and not module.check_mode:
            with locked(lock_timeout):
                steps = wanted()
                Steps(module.run_command, params).perform(steps)
    except (KubeadmError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(steps), steps=steps, elapsed_seconds=round(time.monotonic() - began, 1))
