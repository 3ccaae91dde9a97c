# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock that all hosts see: a key in etcd with a lease, so that it goes when its holder is gone.

etcd and not Kubernetes' API, because certificates have to be renewed while the API is down, too.
"""

from __future__ import annotations

import base64
import threading
from typing import Any

from .._etcd.client import Gateway
from .._etcd.model import EtcdError

KEY = "/caravan/certificate-renewal"
# Seconds until the lock of a host that was switched off in the middle is free again.
TTL = 60


class Lock:
    """Taken, kept while the block lasts, and given back."""

    def __init__(self, gateway: Gateway, holder: str, ttl: int = TTL) -> None:
        self.gateway = gateway
        self.holder = holder
        self.ttl = ttl
        self.lease = ""
        self._lost = ""
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def take(self) -> str:
        """Return who has the lock; an empty text when it is ours now. EtcdError when etcd takes no writes."""
        self.lease = str(self._call("/v3/lease/grant", {"TTL": str(self.ttl)})["ID"])
        answer = self._call(
            "/v3/kv/txn",
            {
                "compare": [{"target": "CREATE", "result": "EQUAL", "key": _encoded(KEY), "create_revision": "0"}],
                "success": [
                    {"request_put": {"key": _encoded(KEY), "value": _encoded(self.holder), "lease": self.lease}}
                ],
                "failure": [{"request_range": {"key": _encoded(KEY)}}],
            },
        )
        if answer.get("succeeded"):
            self._keeper.start()
            return ""
        self._revoke()
        entries = answer["responses"][0]["response_range"].get("kvs", [])
        return base64.b64decode(entries[0].get("value", "")).decode(errors="replace") if entries else "another host"

    def lost(self) -> str:
        """Return why the lock is no longer ours; an empty text while it is."""
        return self._lost

    def release(self) -> None:
        """Give the lock back. Where etcd does not answer, it goes with its lease."""
        self._ended.set()
        if self._keeper.is_alive():
            self._keeper.join()
        self._revoke()

    def _keep(self) -> None:
        failures = 0
        while not self._ended.wait(self.ttl / 6):
            try:
                answer = self._call("/v3/lease/keepalive", {"ID": self.lease})
            except EtcdError as error:
                failures += 1
                # By then the lease may have ended.
                if failures >= 4:
                    self._lost = f"the lock in etcd could not be kept: {error}"
                    return
                continue
            failures = 0
            # A lease that has ended is answered without one.
            if int(answer.get("result", {}).get("TTL", 0)) <= 0:
                self._lost = "the lock in etcd has ended"
                return

    def _revoke(self) -> None:
        try:
            self._call("/v3/lease/revoke", {"ID": self.lease})
        except EtcdError:
            return

    def _call(self, path: str, body: Any) -> dict[str, Any]:
        return self.gateway.any_healthy(lambda url: self.gateway.call(url, "POST", path, body))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
