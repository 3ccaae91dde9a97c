# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door to the cluster's API: nothing else in the collection imports `kubernetes`.

Objects are plain dictionaries as the API sends them. The package gives the kubeconfig's credentials and the transport.
Its API and model classes are left out on purpose: they take over a second to load and reject fields of newer servers.
"""

from __future__ import annotations

import json
from typing import Any

from .errors import ApiUnreachable, KubernetesError

try:
    import kubernetes
    import urllib3
except ImportError as error:
    IMPORT_ERROR: ImportError | None = error
else:
    IMPORT_ERROR = None

# Answers of an API server that starts, stops or fails over: the next request may well succeed.
TRANSIENT_STATUS = frozenset({0, 408, 429, 500, 502, 503, 504})


def _error_for(status: int | None, reason: str | None) -> KubernetesError:
    kind = ApiUnreachable if (status or 0) in TRANSIENT_STATUS else KubernetesError
    return kind(f"HTTP {status} {reason}")


class KubernetesClient:
    """Reads objects with the credentials of one kubeconfig. Request time-outs are in seconds."""

    def __init__(self, kubeconfig: str, context: str | None = None, request_timeout: float = 5.0) -> None:
        if IMPORT_ERROR is not None:
            raise KubernetesError(f"the Python package kubernetes is missing on the controller: {IMPORT_ERROR}")
        configuration = kubernetes.client.Configuration()
        # The waiter asks again by itself; the transport's own retries would only hide what was seen.
        configuration.retries = False
        try:
            kubernetes.config.load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
        except (kubernetes.config.ConfigException, OSError) as error:
            raise KubernetesError(f"kubeconfig {kubeconfig}: {error}") from error
        self._host = configuration.host
        self._headers = {"Accept": "application/json"}
        for setting in configuration.auth_settings().values():
            if setting["in"] == "header":
                self._headers[setting["key"]] = setting["value"]
        self._transport = kubernetes.client.rest.RESTClientObject(configuration)
        self._request_timeout = request_timeout

    def read(self, path: str) -> dict[str, Any]:
        """The decoded answer; ApiUnreachable where asking again makes sense, KubernetesError where it does not."""
        try:
            response = self._transport.request(
                "GET", self._host + path, headers=dict(self._headers), _request_timeout=self._request_timeout
            )
            # Older clients have read the body already, newer ones on demand.
            body = response.data or response.read()
        except kubernetes.client.rest.ApiException as error:
            raise _error_for(error.status, error.reason) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiUnreachable(str(error)) from error
        if response.status != 200:
            raise _error_for(response.status, response.reason)
        decoded: dict[str, Any] = json.loads(body)
        return decoded

    def _items(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.read(path).get("items") or []
        return items

    def nodes(self) -> list[dict[str, Any]]:
        return self._items("/api/v1/nodes")

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        return self._items(f"/api/v1/namespaces/{namespace}/pods")

    def daemonsets(self, namespace: str) -> list[dict[str, Any]]:
        return self._items(f"/apis/apps/v1/namespaces/{namespace}/daemonsets")

    def deployments(self, namespace: str) -> list[dict[str, Any]]:
        return self._items(f"/apis/apps/v1/namespaces/{namespace}/deployments")

    def statefulsets(self, namespace: str) -> list[dict[str, Any]]:
        return self._items(f"/apis/apps/v1/namespaces/{namespace}/statefulsets")
