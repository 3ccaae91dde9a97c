# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in itself: that it refuses what Azure refuses. A stand-in that takes everything proves nothing."""

from __future__ import annotations

from typing import Any

import pytest
from azure_arm.arm import SUBSCRIPTION, TENANT, Arm
from werkzeug.test import Client, TestResponse

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/demo"
NETWORK = f"{GROUP}/providers/Microsoft.Network"
VERSION = "2026-03-01"
ADDRESS = {"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}


class Caller:
    def __init__(self) -> None:
        self.arm = Arm("secret")
        self.arm.add(GROUP, {"location": "westeurope"})
        self.client = Client(self.arm)

    def __call__(
        self, method: str, path: str, body: Any = None, version: str = VERSION, **headers: str
    ) -> TestResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = f"Bearer {self.arm.bearer}"
        return self.client.open(path, method=method, json=body, headers=sent, query_string={"api-version": version})


@pytest.fixture
def call() -> Caller:
    return Caller()


def code(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, (answer.json or {}).get("error", {}).get("code", "")


def test_tokens(call: Caller) -> None:
    form = {"client_secret": "guess"}
    assert call.client.post(f"/{TENANT}/oauth2/v2.0/token", data=form).status_code == 401
    assert code(call.client.get(GROUP)) == (401, "AuthenticationFailed")
    token = call.client.post(f"/{TENANT}/oauth2/v2.0/token", data={"client_secret": "secret"})
    assert token.json and token.json["access_token"] == call.arm.bearer


WRONG = [
    ({"propertees": {}}, "propertees is no property of PublicIPAddress"),
    ({"properties": {"publicIpAllocationMethod": "Static"}}, "properties.publicIpAllocationMethod is no property"),
    ({"properties": {"resourceGuid": "x"}}, "properties.resourceGuid is read-only"),
    ({"properties": {"ipTags": [{"ipTag": "x"}]}}, "properties.ipTags[0].ipTag is no property of IpTag"),
]


@pytest.mark.parametrize(("body", "said"), WRONG)
def test_bodies_are_what_the_models_say(call: Caller, body: dict[str, Any], said: str) -> None:
    answer = call("PUT", f"{NETWORK}/publicIPAddresses/a", {**ADDRESS, **body})
    assert code(answer) == (400, "InvalidRequestContent") and answer.json
    assert said in answer.json["error"]["message"]


def test_bodies_of_the_older_clients_too(call: Caller) -> None:
    id = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a"
    for own in ({"properties": {"principalId": "x"}}, {"properties": {"principal": "x"}}):
        assert code(call("PUT", id, {"location": "westeurope", **own}, "2024-11-30"))[0] == 400
    assert call("PUT", id, {"location": "westeurope"}, "2024-11-30").status_code == 201


def test_versions_places_and_groups(call: Caller) -> None:
    id = f"{NETWORK}/publicIPAddresses/a"
    assert code(call("PUT", id, ADDRESS, "2020-01-01")) == (400, "NoRegisteredProviderFound")
    assert code(call("PUT", id, {**ADDRESS, "location": "moon"})) == (400, "LocationNotAvailableForResourceType")
    assert code(call("PUT", id.replace("demo", "none"), ADDRESS)) == (404, "ResourceGroupNotFound")
    assert code(call("PUT", id, {**ADDRESS, "tags": {"a/b": "c"}})) == (400, "InvalidTagNameCharacters")


def test_operations_end_later(call: Caller) -> None:
    answer = call("PUT", f"{NETWORK}/publicIPAddresses/a", ADDRESS)
    assert answer.status_code == 201
    operation = "/" + answer.headers["Azure-AsyncOperation"].split("/", 3)[3]
    assert [call("GET", operation).json for _attempt in range(2)] == [{"status": "InProgress"}, {"status": "Succeeded"}]


def test_what_is_in_use_stays(call: Caller) -> None:
    call("PUT", f"{NETWORK}/publicIPAddresses/a", ADDRESS)
    nat = {"location": "westeurope", "properties": {"publicIpAddresses": [{"id": f"{NETWORK}/publicIPAddresses/a"}]}}
    assert call("PUT", f"{NETWORK}/natGateways/n", nat).status_code == 201
    assert code(call("DELETE", f"{NETWORK}/publicIPAddresses/a")) == (400, "PublicIPAddressCannotBeDeleted")
    assert call("DELETE", f"{NETWORK}/natGateways/n").status_code == 202
    assert call("DELETE", f"{NETWORK}/publicIPAddresses/a").status_code == 202
    assert code(call("PUT", f"{NETWORK}/natGateways/n", nat)) == (400, "InvalidResourceReference")


def test_etags_and_what_never_changes(call: Caller) -> None:
    id = f"{NETWORK}/publicIPAddresses/a"
    first = call("PUT", id, ADDRESS).json
    assert first
    assert call("PUT", id, {**ADDRESS, "tags": {"a": "b"}}, If_Match=first["etag"]).status_code == 200
    assert code(call("PUT", id, ADDRESS, If_Match=first["etag"])) == (412, "PreconditionFailed")
    assert code(call("PUT", id, ADDRESS, If_None_Match="*")) == (412, "PreconditionFailed")
    basic = {**ADDRESS, "sku": {"name": "Basic"}}
    assert code(call("PUT", id, basic)) == (409, "PropertyChangeNotAllowed")


def test_roles_are_for_identities_that_are_known(call: Caller) -> None:
    own = {"principalId": "nobody", "roleDefinitionId": f"/subscriptions/{SUBSCRIPTION}/x", "principalType": "User"}
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/r"
    id = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/1"
    answer = call("PUT", id, {"properties": {**own, "roleDefinitionId": role}}, "2022-04-01")
    assert code(answer) == (400, "PrincipalNotFound")
