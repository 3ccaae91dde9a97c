# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to Azure: the clients of azure-mgmt, and their errors as ours. Nothing else imports azure.

Bodies and answers are JSON as Azure Resource Manager has it, whatever generation the client's models are of.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..errors import ProviderError, TransientError
from . import lists
from .settings import Settings

MISSING = "the provider azure needs the Python packages azure-identity and azure-mgmt-* on the controller: {}"
CLIENTS = {
    "authorization": ("azure.mgmt.authorization.v2022_04_01", "AuthorizationManagementClient"),
    "compute": ("azure.mgmt.compute", "ComputeManagementClient"),
    "dns": ("azure.mgmt.dns", "DnsManagementClient"),
    "keyvault": ("azure.mgmt.keyvault", "KeyVaultManagementClient"),
    "msi": ("azure.mgmt.msi", "ManagedServiceIdentityClient"),
    "network": ("azure.mgmt.network", "NetworkManagementClient"),
    "resource": ("azure.mgmt.resource.resources", "ResourceManagementClient"),
    "storage": ("azure.mgmt.storage", "StorageManagementClient"),
}
# Beside those: the one for lists alone.
LISTS = "lists"
# Under way, in use by what is going, or not known everywhere yet.
TRANSIENT = frozenset(
    """
    AnotherOperationInProgress RetryableError RetryableErrorDueToAnotherOperation OperationPreempted TooManyRequests
    CanceledAndSupersededDueToAnotherOperation ReferencedResourceNotProvisioned ConflictingConcurrentWriteNotAllowed
    PreconditionFailed PrincipalNotFound InvalidResourceReference ParentResourceNotFound ResourceNotFound NotFound
    ResourceGroupBeingDeleted StorageAccountOperationInProgress AttachDiskWhileBeingDetached DiskIsBeingDetached
    KeyVaultAccessForbidden InUse InUseSubnetCannotBeDeleted InUseNetworkSecurityGroupCannotBeDeleted NicInUse
    NicReservedForAnotherVm PublicIPAddressCannotBeDeleted PublicIPAddressInUse NatGatewayInUseBySubnet
    LoadBalancerInUse
    """.split()
)
# Seconds between questions how an operation goes, where Azure does not say.
POLLING = 2


class Api:
    """Calls by client and operation. One for all threads: the SDK's clients may be shared."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._credential: Any = None
        self._clients: dict[str, Any] = {}

    def client(self, name: str) -> Any:
        with self._lock:
            if name not in self._clients:
                self._clients[name] = self._new(name)
            return self._clients[name]

    def _new(self, name: str) -> Any:
        settings = self.settings
        own = {"connection_verify": settings.ca_file} if settings.ca_file else {}
        scope = f"{settings.resource_manager}/.default"
        # The executor is the patient one: the SDK's own attempts only smooth over a lost packet.
        options = {"retry_total": 1, "retry_backoff_factor": 0.2, **own}
        try:
            if name == LISTS:
                return lists.client(self._login(own), settings.resource_manager, scope, options)
            module, cls = CLIENTS[name]
            client = getattr(importlib.import_module(module), cls)
            return client(
                self._login(own),
                settings.subscription_id,
                base_url=settings.resource_manager,
                credential_scopes=[scope],
                polling_interval=POLLING,
                **options,
            )
        except ImportError as error:
            raise ProviderError(MISSING.format(error)) from error

    def _login(self, own: dict[str, Any]) -> Any:
        from azure.identity import DefaultAzureCredential

        settings = self.settings
        if self._credential is None:
            # Environment, workload identity, managed identity, then az: never anything that would ask a person.
            self._credential = DefaultAzureCredential(
                authority=settings.authority,
                # A cloud of one's own is not in Microsoft's directory of clouds.
                disable_instance_discovery=settings.authority != Settings.authority,
                exclude_powershell_credential=True,
                exclude_developer_cli_credential=True,
                exclude_visual_studio_code_credential=True,
                exclude_broker_credential=True,
                process_timeout=20,
                **own,
            )
        return self._credential

    def call(self, operation: str, *arguments: Any, about: str = "", gone: bool = False, **options: Any) -> Any:
        """The answer of `<client>.<group>.<operation>`, after its end where it takes long.

        With `gone`, None where what it is about does not exist.
        """
        return self._guarded(operation, about, gone, lambda method: method(*arguments, **options))

    def pages(self, operation: str, *arguments: Any, about: str = "", **options: Any) -> Iterator[dict[str, Any]]:
        """All items of a list. Nothing where the resource group, or what else it is a list of, does not exist."""
        if operation in lists.LISTS:
            manager, subscription = self.client(LISTS), self.settings.subscription_id
            ask = partial(lists.pages, manager, operation, subscription, *arguments, **options)
            items = self._asked(operation.rsplit(".", 1)[1], about, True, lambda: list(ask()))
        else:
            items = self._guarded(operation, about, True, lambda method: list(method(*arguments, **options)))
        yield from items or ()

    def _guarded(self, operation: str, about: str, gone: bool, ask: Any) -> Any:
        client, group, name = operation.split(".")
        method = getattr(getattr(self.client(client), group), name)
        return self._asked(name, about, gone, lambda: ask(method))

    def _asked(self, name: str, about: str, gone: bool, ask: Callable[[], Any]) -> Any:
        try:
            from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
        except ImportError as error:
            raise ProviderError(MISSING.format(error)) from error
        subject = f"{about}: {name}" if about else name
        try:
            answer = ask()
            return _plain(answer.result() if name.startswith("begin_") else answer)
        except ClientAuthenticationError as error:
            raise ProviderError(f"{subject}: {_code(error) or 'credentials'}: {_first_line(error.message)}") from error
        except HttpResponseError as error:
            code, status = _code(error), error.status_code or 0
            if gone and status == 404:
                return None
            text = f"{subject}: {code or status}: {_first_line(error.message)}"
            if code in TRANSIENT or status in (408, 412, 429) or status >= 500:
                raise TransientError(text) from error
            raise ProviderError(text) from error
        except AzureError as error:
            raise TransientError(f"{subject}: {_first_line(str(error))}") from error


def _code(error: Any) -> str:
    inner = getattr(error, "error", None)
    return str(getattr(inner, "code", "") or "")


def _first_line(text: Any) -> str:
    """Azure's messages repeat the code, and end in the whole answer.

    Where several kinds of credentials were tried, the line that counts is that of the one which was there and refused.
    """
    lines = [line for line in str(text).splitlines() if line.strip() and not line.startswith(("Code:", "Content:"))]
    told = [line for line in lines if "AADSTS" in line] or lines
    return re.sub(r"^\(\w+\) ", "", told[0].strip()) if told else ""


def _plain(answer: Any) -> Any:
    """An answer as JSON: the older clients' models, the newer ones', or a list of either."""
    if isinstance(answer, list):
        return [_plain(item) for item in answer]
    if hasattr(answer, "as_dict") and hasattr(answer, "serialize"):
        return answer.serialize(keep_readonly=True)
    return answer.as_dict() if hasattr(answer, "as_dict") else answer
