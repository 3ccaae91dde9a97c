# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to OpenStack: openstacksdk's session, and its errors as ours. Nothing else imports openstack.

The SDK knows clouds.yaml, the environment, the catalogue and the ways to authenticate. Bodies and answers are JSON as
the services have it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from ..errors import ProviderError, TransientError
from .settings import Settings

MISSING = "the provider openstack needs the Python package openstacksdk on the controller: {}"
# service: (its official type, version in the path where the catalogue leaves it out, microversion)
SERVICES = {
    "compute": ("compute", "", "2.67"),
    "volume": ("block-storage", "", "3.42"),
    "network": ("network", "/v2.0", ""),
    "image": ("image", "/v2", ""),
}
# What nova and cinder call an operation that is under way, where they do not say 409.
UNDER_WAY = ("must be available", "must be in-use", "is being", "in a transition", "Cannot 'detach")


class Api:
    """Requests by service, method and path. One for all threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._connection: Any = None
        self._bases: dict[str, str] = {}

    @property
    def connection(self) -> Any:
        with self._lock:
            if self._connection is None:
                try:
                    import openstack
                except ImportError as error:
                    raise ProviderError(MISSING.format(error)) from error
                try:
                    self._connection = openstack.connect(cloud=self.settings.cloud or None)
                except openstack.exceptions.ConfigException as error:
                    raise ProviderError(f"credentials: {_first_line(error)}") from error
            return self._connection

    def has(self, service: str) -> bool:
        """Whether the cloud has it at all."""
        return bool(self._base(service))

    def project(self) -> str:
        """The id of the project that the credentials are for."""
        return str(self._guarded("credentials", lambda: self.connection.session.get_project_id()))

    def region(self) -> str:
        """The settings' own, which the catalogue is asked about and not the SDK's list of regions."""
        return self.settings.region or str(self.connection.config.region_name or "")

    def regions(self) -> list[str]:
        """Those of the catalogue."""

        def look() -> list[str]:
            session = self.connection.session
            services = session.auth.get_access(session).service_catalog.catalog
            found = {one.get("region_id") or one.get("region") for service in services for one in service["endpoints"]}
            return sorted(one for one in found if one)

        found: list[str] = self._guarded("credentials", look)
        return found

    def _base(self, service: str) -> str:
        """Where a service is: the catalogue's word, which is not asked about any further."""
        with self._lock:
            if service not in self._bases:
                type, version, _microversion = SERVICES[service]

                def look() -> str:
                    from keystoneauth1.exceptions import EndpointNotFound

                    config, session = self.connection.config, self.connection.session
                    own = config.get_endpoint(type)
                    if own:
                        return str(own)
                    where = {"interface": config.get_interface(type), "region_name": self.region()}
                    try:
                        data = session.auth.get_endpoint_data(
                            session, service_type=type, discover_versions=False, **where
                        )
                    except EndpointNotFound:
                        return ""
                    return str(data.url) if data else ""

                found = self._guarded("credentials", look).rstrip("/")
                last = found.rpartition("/")[2]
                known = last.startswith("v") and last[1:2].isdigit()
                self._bases[service] = found + ("" if known or not found else version)
            return self._bases[service]

    def call(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        about: str = "",
        gone: bool = False,
        **query: Any,
    ) -> Any:
        """The answer as JSON. With `gone`, None where what it is about does not exist."""
        base = self._base(service)
        subject = about or path
        if not base:
            raise ProviderError(f"{subject}: the cloud has no service {service}")
        return self._request(service, method, base + path, body, query, subject, gone)

    def pages(self, service: str, path: str, items: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All items of a list."""
        answer = self.call(service, "GET", path, **query)
        while True:
            yield from answer[items]
            links = [one["href"] for one in answer.get(f"{items}_links") or () if one["rel"] == "next"]
            if not links and not answer.get("next"):
                return
            url = links[0] if links else self._base(service).rpartition("/v")[0] + answer["next"]
            answer = self._request(service, "GET", url, None, {}, path, False)

    def _request(
        self, service: str, method: str, url: str, body: Any, query: dict[str, Any], subject: str, gone: bool
    ) -> Any:
        type, _version, microversion = SERVICES[service]
        more = {"microversion": microversion, "microversion_service_type": type} if microversion else {}
        response = self._guarded(
            subject,
            lambda: self.connection.session.request(
                url, method, json=body, params=query, raise_exc=False, headers={"Accept": "application/json"}, **more
            ),
        )
        if response.status_code < 400:
            return response.json() if response.content else None
        if response.status_code == 404 and gone:
            return None
        text = f"{subject}: {_told(response)}"
        status = response.status_code
        if status in (401, 403) and "uota" not in text:
            text += f" (the credentials may not {method} this of {type}: a role or an access rule is missing)"
        # A quota is full for good, whatever the status.
        if status >= 500 or (status in (408, 409, 423, 429) and "uota" not in text):
            raise TransientError(text)
        if any(words in text for words in UNDER_WAY):
            raise TransientError(text)
        raise ProviderError(text)

    @staticmethod
    def _guarded(subject: str, ask: Any) -> Any:
        """What goes wrong before there is an answer: no way there, or no token."""
        try:
            from keystoneauth1 import exceptions
        except ImportError as error:
            raise ProviderError(MISSING.format(error)) from error
        try:
            return ask()
        except (exceptions.ConnectFailure, exceptions.RetriableConnectionFailure) as error:
            raise TransientError(f"{subject}: {_first_line(error)}") from error
        except exceptions.HttpError as error:
            status = error.http_status or 0
            text = f"{'credentials' if status in (401, 403) else subject}: {_first_line(error)}"
            if status in (408, 429) or status >= 500:
                raise TransientError(text) from error
            raise ProviderError(text) from error
        except exceptions.ClientException as error:
            text = str(error)
            # Of looking for the versions of Keystone only the text is left.
            if isinstance(error, exceptions.DiscoveryFailure) and any(f"(HTTP {code}" in text for code in ("429", "5")):
                raise TransientError(f"{subject}: {_first_line(error)}") from error
            raise ProviderError(f"credentials: {_first_line(error)}") from error


def _told(response: Any) -> str:
    """`<status>: <message>` of an error, which every service words in another way."""
    try:
        body = response.json()
    except ValueError:
        return f"{response.status_code}: {_first_line(response.text)[:300]}"
    inner = body
    if isinstance(body, dict) and not {"message", "faultstring"} & set(body):
        inner = next(iter(body.values()), "")
    if isinstance(inner, dict):
        message = inner.get("message") or inner.get("faultstring") or inner
        code = inner.get("type") or response.status_code
        return f"{code}: {_first_line(message)}"
    return f"{response.status_code}: {_first_line(inner)}"


def _first_line(text: Any) -> str:
    lines = str(text).strip().splitlines()
    return lines[0].strip() if lines else ""
