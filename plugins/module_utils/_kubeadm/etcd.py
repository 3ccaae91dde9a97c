# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look whether etcd holds a Kubernetes cluster already, through etcd's JSON gateway."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.parse

from .errors import KubeadmError

PREFIX = b"/registry/"


def range_request() -> bytes:
    """Return the body that counts the keys below PREFIX. Pure."""
    end = PREFIX[:-1] + bytes([PREFIX[-1] + 1])
    return json.dumps(
        {
            "key": base64.b64encode(PREFIX).decode(),
            "range_end": base64.b64encode(end).decode(),
            "count_only": True,
        }
    ).encode()


def count_from(answer: str) -> int:
    """Return the number of keys in the gateway's answer (which leaves a zero out). Pure."""
    return int(json.loads(answer).get("count", 0))


def registry_keys(endpoints: list[str], ca: str, certificate: str, key: str, timeout: float = 5.0) -> int:
    """Return the number of keys Kubernetes has in etcd, as the first endpoint that answers says."""
    try:
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise KubeadmError(f"etcd's client certificate cannot be used ({ca}, {certificate}): {error}") from error
    seen = []
    for endpoint in endpoints:
        url = urllib.parse.urlsplit(endpoint)
        connection = http.client.HTTPSConnection(url.hostname or "", url.port or 2379, context=context, timeout=timeout)
        try:
            connection.request("POST", "/v3/kv/range", body=range_request())
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            if response.status == 200:
                return count_from(text)
            seen.append(f"{endpoint}: {response.status} {text[:200]}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            seen.append(f"{endpoint}: {error}")
        finally:
            connection.close()
    raise KubeadmError("; ".join(seen))
