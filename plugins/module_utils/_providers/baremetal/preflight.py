# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would make a plan fail half-way: no server left, one that is in use or not reached, a name that is taken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..errors import Problem, ProviderError
from ..model import Plan
from ..rfc2136.nameserver import Zones
from ..rfc2136.records import taken
from ..spec import Spec
from .allocation import Allocation
from .redfish import Redfish, UnauthorizedError, UnreachableError
from .settings import Server, Settings

ASKED = 16  # controllers at a time


def problems(
    plan: Plan, settings: Settings, allocation: Allocation, redfish: Redfish, zones: Zones, spec: Spec
) -> list[Problem]:
    new = {action.key: action for action in plan.actions if action.verb == "create" and action.wanted}
    # A server that is only installed anew is on, and is the cluster's own.
    own = {action.found.id for action in plan.actions if action.verb == "delete" and action.found}
    servers = [allocation.servers.get(key.partition("/")[2]) for key in new if key.startswith("machine/")]
    asked = [server for server in servers if server and server.name not in own]
    with ThreadPoolExecutor(max_workers=ASKED) as pool:
        found = [one for one in pool.map(lambda server: _server(server, redfish), asked) if one]
    lacking = [one for one in allocation.problems if one.subject.replace("machine ", "machine/") in new]
    return [*lacking, *found, *(taken(spec, zones) if "record/api" in new else ())]


def _server(server: Server, redfish: Redfish) -> Problem | None:
    subject = f"server {server.name}"
    try:
        if not redfish.is_on(server):
            return None
    except UnauthorizedError as error:
        wanted = "a user of the management controller that may switch the server on and off, and its password"
        change = "infrastructure_settings.bmc.username and infrastructure_secrets.bmc_password"
        return Problem(subject, _said(error, subject), wanted, change)
    except (ProviderError, UnreachableError) as error:
        change = f"infrastructure_settings.servers[{server.name}]"
        return Problem(
            subject, _said(error, subject), "the address, the system and the certificate of its controller", change
        )
    wanted = "off, as long as it is nobody's"
    return Problem(
        subject, "is on, and no cluster has claimed it", wanted, "its power, or infrastructure_settings.servers"
    )


def _said(error: Exception, subject: str) -> str:
    """What an error says, without what it says it about."""
    return str(error).removeprefix(subject).strip()
