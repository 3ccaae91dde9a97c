# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to AWS: boto3's clients, and its errors as ours. Nothing else imports botocore."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import ProviderError, TransientError
from ..ownership import Ownership
from .settings import Settings

TRANSIENT = frozenset(
    """
    Throttling ThrottlingException RequestLimitExceeded TooManyRequestsException SlowDown PriorRequestNotComplete
    RequestTimeout RequestTimeoutException ServiceUnavailable Unavailable InternalError InternalFailure 503 500
    DependencyViolation IncorrectState IncorrectInstanceState VolumeInUse InvalidIPAddress.InUse
    OperationAborted DeleteConflict ResourceInUse ConcurrentModification
    InvalidInstanceID.NotFound InvalidVpcID.NotFound InvalidSubnetID.NotFound InvalidGroup.NotFound
    InvalidVolume.NotFound InvalidInternetGatewayID.NotFound InvalidRouteTableID.NotFound InvalidAllocationID.NotFound
    NatGatewayNotFound TargetGroupNotFound LoadBalancerNotFound ListenerNotFound InvalidTarget
    """.split()
)
MISSING = "the provider aws needs the Python package boto3 on the controller: {}"
GONE = frozenset(
    """
    InvalidInstanceID.NotFound InvalidVpcID.NotFound InvalidSubnetID.NotFound InvalidGroup.NotFound
    InvalidVolume.NotFound InvalidInternetGatewayID.NotFound InvalidRouteTableID.NotFound InvalidAllocationID.NotFound
    InvalidAssociationID.NotFound InvalidAttachment.NotFound Gateway.NotAttached NatGatewayNotFound
    TargetGroupNotFound LoadBalancerNotFound
    ListenerNotFound NoSuchEntity NoSuchBucket NoSuchHostedZone NotFoundException NoSuchTagSet NoSuchTagSetError
    NoSuchPublicAccessBlockConfiguration ObjectLockConfigurationNotFoundError 404
    """.split()
)


class Api:
    """Calls by service and operation. One for all threads: boto3's clients may be shared, its sessions may not."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._new(service)
            return self._clients[service]

    def _new(self, service: str) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise ProviderError(
                f"the provider aws needs the Python package boto3 on the controller: {error}"
            ) from error
        # The executor is the patient one: the SDK's own attempts only smooth over a lost packet.
        config = Config(
            region_name=self.settings.region,
            retries={"mode": "standard", "max_attempts": 2},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=32,
        )
        try:
            if self._session is None:
                self._session = boto3.Session(profile_name=self.settings.profile or None)
            return self._session.client(service, config=config)
        except BotoCoreError as error:
            raise ProviderError(f"aws: {error}") from error

    def call(self, service: str, operation: str, about: str = "", gone: bool = False, **parameters: Any) -> Any:
        """The answer of one call, or with `gone` None where what it is about does not exist."""
        try:
            with errors(f"{about}: {operation}" if about else operation):
                return getattr(self.client(service), operation)(**parameters)
        except (ProviderError, TransientError) as error:
            if gone and getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") in GONE:
                return None
            raise

    def pages(self, service: str, operation: str, items: str, **parameters: Any) -> Iterator[Any]:
        """All items of a list, page after page."""
        client = self.client(service)
        if not client.can_paginate(operation):  # EC2's addresses, for one
            yield from self.call(service, operation, **parameters)[items]
            return
        with errors(operation):
            for page in client.get_paginator(operation).paginate(**parameters):
                yield from page.get(items, ())


@contextmanager
def errors(subject: str) -> Iterator[None]:
    """Botocore's errors as ours."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        text = f"{subject}: {answer.get('Code', '')}: {answer.get('Message', '')}"
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = TransientError if answer.get("Code") in TRANSIENT or status >= 500 else ProviderError
        raise kind(text) from error
    except (ConnectionError, HTTPClientError, ResponseParserError) as error:
        raise TransientError(f"{subject}: {error}") from error
    except BotoCoreError as error:
        raise ProviderError(f"{subject}: {error}") from error


def tags_of(answer: Mapping[str, Any], name: str = "Tags") -> dict[str, str]:
    """AWS's list of pairs as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in answer.get(name) or ()}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_specification(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": tag_list(tags)}


def owned(ownership: Ownership) -> list[dict[str, Any]]:
    """The filter of EC2's list calls for what the cluster owns."""
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in ownership.identifying().items()]
