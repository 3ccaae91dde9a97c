# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Azure Resource Manager of our own, as a WSGI application: strict about what it is sent, and quick to answer.

What it does as Azure does:

- tokens: none without the right secret, no request without a token;
- bodies are checked with the SDK's own models (models.py), api-versions with those that the SDK sends;
- a PUT or DELETE of most types is an operation, whose end has to be asked for (Azure-AsyncOperation);
- what is in use cannot be deleted; references have to exist; some properties never change; names are unique;
- ETags: a change with an old one is refused with 412;
- lists have pages.

What tests set: `lag` (so many reads do not see what is new), `page` (entries of one), `region` (what can be had).
Throttling, conflicts and crashes are put in front of it by the traffic layer, which all providers share.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug.wrappers import Request, Response

from . import models
from .behaviour import Behaviour, Refused, Resources, at, stable
from .catalogue import TYPES, VERSIONS, Region
from .paths import Path, parse

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
TENANT = "99999999-2222-4333-8444-555555555555"
CLIENT = "caravan-tests"
# Where the logs of consoles are, as blobs are elsewhere.
CONSOLES = "/consoles"


class Arm:
    """The state of one subscription. `secret` is what the only application proves itself with."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.lock = threading.RLock()
        self.consoles: Callable[[str], str] = lambda machine: ""  # by the machine's key: what it has written
        self.resources: Resources = {}
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.resources.clear()
            self.region = Region()
            self.behaviour = Behaviour(self.resources, self.region, set())
            self.lag = 0
            self.page = 50
            self.unseen: dict[str, int] = {}  # reads that still do not see it, by key
            self.operations: dict[str, int] = {}  # answers "InProgress" that are still to be given, by id

    def add(self, id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Something that is there before any request: what people have made."""
        path = parse(id)
        with self.lock:
            return self.kept(path, copy.deepcopy(body))

    # -- WSGI ------------------------------------------------------------------------------------------------

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        try:
            with self.lock:
                response = self.answer(request)
        except Refused as error:
            response = self.reply({"error": {"code": error.code, "message": str(error)}}, error.status)
        return response(environ, start_response)

    @staticmethod
    def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        text = "" if body is None else json.dumps(body)
        return Response(text, status, dict(headers or {}), content_type="application/json")

    def answer(self, request: Request) -> Response:
        if request.path.startswith(f"/{TENANT}/"):
            return self.token(request)
        if request.path.startswith(f"{CONSOLES}/"):
            return self.console(request)
        if request.headers.get("Authorization") != f"Bearer {self.bearer}":
            raise Refused(401, "AuthenticationFailed", "Authentication failed. No valid token.")
        if request.path.startswith("/operations/"):
            return self.operation(request.path)
        path = parse(request.path)
        self.check_version(path, request.args.get("api-version"))
        if not request.path.lower().startswith(f"/subscriptions/{SUBSCRIPTION}"):
            raise Refused(404, "SubscriptionNotFound", f"The subscription of {request.path} could not be found.")
        if path.group and path.group != path.key and path.group not in self.resources:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{path.group}' could not be found.")
        body = json.loads(request.get_data() or b"{}")
        method = getattr(self, f"do_{request.method.lower()}", None)
        if method is None:
            raise Refused(405, "MethodNotAllowed", request.method)
        found: Response = method(request, path, body)
        return found

    @property
    def bearer(self) -> str:
        def part(value: Any) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        return f"{part({'alg': 'none'})}.{part({'aud': SUBSCRIPTION, 'oid': stable(self.secret)})}.x"

    def token(self, request: Request) -> Response:
        if request.path.endswith("openid-configuration"):
            base = f"{request.host_url}{TENANT}"
            return self.reply(
                {
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "issuer": f"{base}/v2.0",
                }
            )
        if request.form.get("client_secret") != self.secret:
            error = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
            return self.reply(error, 401)
        return self.reply({"token_type": "Bearer", "expires_in": 3600, "access_token": self.bearer})

    def console(self, request: Request) -> Response:
        """A machine's log, for whoever has its whole address."""
        machine = request.path.removeprefix(CONSOLES)
        if request.args.get("sig") != stable(self.secret, machine):
            raise Refused(403, "AuthenticationFailed", "Signature did not match.")
        return Response(self.consoles(machine.lower()), content_type="text/plain")

    def check_version(self, path: Path, version: str | None) -> None:
        # A provider by itself, or all resources of a group, are asked of the resource manager.
        namespace, _slash, inner = path.type.partition("/")
        namespace = namespace if inner else "microsoft.resources"
        if not version:
            raise Refused(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        own = "/".join(path.type.split("/")[:2]) if inner else ""
        if version not in (VERSIONS.get(own) or VERSIONS.get(namespace) or ()):
            raise Refused(400, "NoRegisteredProviderFound", f"no provider for {path.type} and api-version {version}")

    # -- operations ------------------------------------------------------------------------------------------

    def started(self, request: Request) -> dict[str, str]:
        id = f"/operations/{uuid.uuid4()}"
        self.operations[id] = 1
        return {"Azure-AsyncOperation": f"{request.host_url.rstrip('/')}{id}", "x-ms-retry-after-ms": "10"}

    def operation(self, id: str) -> Response:
        if id not in self.operations:
            raise Refused(404, "OperationNotFound", id)
        left, self.operations[id] = self.operations[id], self.operations[id] - 1
        status = "InProgress" if left > 0 else "Succeeded"
        return self.reply({"status": status}, headers={"x-ms-retry-after-ms": "10"})

    # -- methods ---------------------------------------------------------------------------------------------

    def checked(self, path: Path, body: Mapping[str, Any], verb: str) -> None:
        known = TYPES.get(path.type)
        if known is None:
            raise Refused(404, "InvalidResourceType", f"The resource type {path.type} could not be found.")
        model = known.patch if verb == "update" and known.patch else known.model
        wrong = models.problems(model, body, verb)
        if wrong:
            raise Refused(400, "InvalidRequestContent", "; ".join(wrong))

    def do_put(self, request: Request, path: Path, body: dict[str, Any]) -> Response:
        old = self.resources.get(path.key)
        self.matched(request, old)
        self.checked(path, body, "create")
        self.behaviour.check(path.key, path.type, body, old)
        if path.parent.lower() not in self.resources and path.group != path.key and path.parent.lower() != path.group:
            raise Refused(404, "ParentResourceNotFound", f"{path.parent} was not found")
        if path.type == "microsoft.keyvault/vaults/keys" and old:
            return self.reply(old)  # create_if_not_exist
        return self.stored(request, path, self.merged(old, body, path), new=old is None)

    @staticmethod
    def merged(old: Mapping[str, Any] | None, body: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """The body, with what Azure computed before and nobody sends."""
        resource = copy.deepcopy(dict(body))
        if old:
            for name in ("managedBy",):
                if name in old:
                    resource[name] = old[name]
            own, before = resource.setdefault("properties", {}), old.get("properties") or {}
            for name in ("ipAddress", "virtualMachine", "vmId", "diskState", "instanceView"):
                if name in before:
                    own[name] = before[name]
            for part in own.get("ipConfigurations") or ():
                same = [one for one in before.get("ipConfigurations") or () if one["name"] == part["name"]]
                for one in same:
                    part["properties"].setdefault("privateIPAddress", one["properties"].get("privateIPAddress"))
            for name in ("encryption",):
                if name in before:
                    own.setdefault(name, before[name])
        return resource

    def stored(self, request: Request, path: Path, resource: dict[str, Any], new: bool) -> Response:
        self.kept(path, resource)
        if new and self.lag:
            self.unseen[path.key] = self.lag
        headers = self.started(request) if TYPES[path.type].lro else {}
        return self.reply(resource, TYPES[path.type].created if new else 200, headers)

    def kept(self, path: Path, resource: dict[str, Any]) -> dict[str, Any]:
        kind = path.text.rpartition("/providers/")[2].split("/")
        named = "/".join([kind[0], *kind[1::2]]) if "/providers/" in path.text else "Microsoft.Resources/resourceGroups"
        resource |= {"id": path.text, "name": path.name, "type": named}
        self.resources[path.key] = resource
        self.behaviour.complete(resource)
        return resource

    def do_patch(self, request: Request, path: Path, body: dict[str, Any]) -> Response:
        if path.type == "microsoft.resources/tags":
            return self.tagged(request, path, body)
        old = self.seen(path)
        self.matched(request, old)
        self.checked(path, body, "update")
        self.behaviour.check(path.key, path.type, body, old)
        merged = _patched(old, body)
        return self.stored(request, path, merged, new=False)

    def tagged(self, request: Request, path: Path, body: dict[str, Any]) -> Response:
        """Tags by themselves, added to those that are there."""
        target = parse(path.parent)
        resource = self.seen(target)
        if models.problems("azure.mgmt.resource.resources.models.TagsPatchResource", body, "update"):
            raise Refused(400, "InvalidRequestContent", "no such tags resource")
        if body["operation"] != "Merge":
            raise Refused(400, "InvalidRequestContent", f"the operation {body['operation']} is not known here")
        merged = {**(resource.get("tags") or {}), **body["properties"]["tags"]}
        self.behaviour.check_tags(TYPES[target.type], merged)
        resource["tags"] = merged
        return self.reply({"id": path.text, "properties": {"tags": merged}}, headers=self.started(request))

    def do_delete(self, request: Request, path: Path, body: Any) -> Response:
        if path.key not in self.resources:
            return self.reply(None, 204)
        self.matched(request, self.resources[path.key])
        self.behaviour.remove(path.key, path.type)
        lro = TYPES[path.type].lro or path.group == path.key
        if not lro:
            return self.reply(None, 200)
        headers = self.started(request)
        return self.reply(None, 202, {**headers, "Location": headers["Azure-AsyncOperation"]})

    def do_post(self, request: Request, path: Path, body: dict[str, Any]) -> Response:
        target, action = path.text.rsplit("/", 1)
        if action == "attachDetachDataDisks":
            machine = self.seen(parse(target))
            wrong = models.problems("azure.mgmt.compute.models.AttachDetachDataDisksRequest", body, "create")
            if wrong:
                raise Refused(400, "InvalidRequestContent", "; ".join(wrong))
            self.behaviour.attach_detach(machine, body)
            headers = self.started(request)
            return self.reply(machine["properties"]["storageProfile"], 202, headers)
        if action == "retrieveBootDiagnosticsData":
            own = self.seen(parse(target))["properties"]
            if not at(own, "diagnosticsProfile.bootDiagnostics.enabled"):
                raise Refused(409, "OperationNotAllowed", "boot diagnostics are not enabled")
            where = f"{request.host_url.rstrip('/')}{CONSOLES}{target}?sig={stable(self.secret, target)}"
            return self.reply({"serialConsoleLogBlobUri": where})
        if action in ("start", "deallocate"):
            state = {"start": "running", "deallocate": "deallocated"}[action]
            view = self.seen(parse(target))["properties"]["instanceView"]
            view["statuses"] = [{"code": f"PowerState/{state}"}]
            return self.reply(None, 202, self.started(request))
        if action.lower() == "checknameavailability":
            names = [*(key.rsplit("/", 1)[1] for key in self.resources), *self.behaviour.deleted_vaults]
            taken = body["name"].lower() in names
            reason = {"reason": "AlreadyExists", "message": f"{body['name']} is already taken."} if taken else {}
            return self.reply({"nameAvailable": not taken, **reason})
        raise Refused(404, "InvalidResourceType", path.text)

    def do_get(self, request: Request, path: Path, body: Any) -> Response:
        offered = self.offered(path)
        if offered is not None:
            return self.reply(offered)
        if path.type == "microsoft.resources/tags":
            return self.reply(
                {"id": path.text, "properties": {"tags": self.seen(parse(path.parent)).get("tags") or {}}}
            )
        if path.is_list:
            return self.listed(request, path)
        return self.reply(self.seen(path))

    # -- reading ---------------------------------------------------------------------------------------------

    def seen(self, path: Path) -> dict[str, Any]:
        if path.key not in self.resources or self.is_unseen(path.key):
            raise Refused(404, "ResourceNotFound", f"The Resource '{path.text}' was not found.")
        return self.resources[path.key]

    def is_unseen(self, key: str) -> bool:
        left = self.unseen.get(key, 0)
        self.unseen[key] = left - 1
        return left > 0

    @staticmethod
    def matched(request: Request, old: Mapping[str, Any] | None) -> None:
        wanted, unless = request.headers.get("If-Match"), request.headers.get("If-None-Match")
        if unless == "*" and old is not None:
            raise Refused(412, "PreconditionFailed", "The resource exists already.")
        if wanted and wanted != "*" and (old is None or wanted != old.get("etag")):
            raise Refused(412, "PreconditionFailed", "The ETag is not that of the resource.")

    def listed(self, request: Request, path: Path) -> Response:
        """One page of all of a type in a scope: a subscription, a resource group, a parent; or all resources."""
        scope = path.parent.lower()
        every = path.key.endswith("/resources")
        found = [
            resource
            for key, resource in sorted(self.resources.items())
            if key.startswith(f"{scope}/") and (self._top(key) if every else self._of(key, resource, path))
        ]
        found = [one for one in found if not self.is_unseen(one["id"].lower())]
        start = int(request.args.get("$skiptoken") or 0)
        answer: dict[str, Any] = {"value": found[start : start + self.page]}
        if len(found) > start + self.page:
            version = request.args["api-version"]
            base = f"{request.host_url.rstrip('/')}{request.path}"
            answer["nextLink"] = f"{base}?api-version={version}&$skiptoken={start + self.page}"
        return self.reply(answer)

    @staticmethod
    def _of(key: str, resource: Mapping[str, Any], path: Path) -> bool:
        return parse(key).type == path.type

    @staticmethod
    def _top(key: str) -> bool:
        """Whether it is a resource of its own, as the list of all resources has them."""
        return key.count("/") == 8 and "/microsoft.authorization/" not in key

    def offered(self, path: Path) -> Any:
        """What the region offers: places, sizes, quotas, images."""
        parts = path.key.split("/")
        if path.key.endswith("/providers/microsoft.compute"):
            places = list(self.region.locations)
            zones = (
                [{"location": place, "zones": list(self.region.zones)} for place in places] if self.region.zones else []
            )
            types = [{"resourceType": "virtualMachines", "locations": places, "zoneMappings": zones}]
            return {"namespace": "Microsoft.Compute", "registrationState": "Registered", "resourceTypes": types}
        if path.key.endswith("/providers/microsoft.compute/skus"):
            return {"value": [size.sku("westeurope") for size in self.region.sizes]}
        if path.key.endswith("/usages"):
            families = sorted({size.family for size in self.region.sizes})
            return {"value": [self.usage(family) for family in families]}
        if "/deletedvaults/" in path.key and path.name in self.behaviour.deleted_vaults:
            original = next(iter(self.behaviour.deleted_vaults[path.name]))
            return {"id": path.text, "name": path.name, "properties": {"vaultId": original}}
        if path.key.endswith("/versions") and "artifacttypes" in parts:
            image = tuple(path.text.split("/")[position] for position in (8, 12, 14))
            return [{"name": "1.0.0", "location": parts[6], "id": path.text}] if image in self.region.images else []
        return None

    def usage(self, family: str) -> dict[str, Any]:
        name = {"value": family, "localizedValue": family}
        limit, used = self.region.limit(family), self.behaviour.used(family)
        return {"name": name, "unit": "Count", "currentValue": used, "limit": limit}


def _patched(old: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with the body's values. Objects are joined, but for tags, which a PATCH replaces."""
    merged = copy.deepcopy(dict(old))
    for name, value in body.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping) and name != "tags":
            merged[name] = _patched(merged[name], value)
        else:
            merged[name] = copy.deepcopy(value)
    return merged
