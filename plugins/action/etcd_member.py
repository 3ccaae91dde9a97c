# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the controller what a member needs, from what was seen on all hosts; leaves alone who needs nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._etcd.model import (
    Cluster,
    EtcdError,
    Host,
    cluster_from_plain,
    host_from_plain,
    host_to_plain,
)
from ..module_utils._etcd.planner import Consents, Plan, plan


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if arguments.get("state") == "absent":
            result.update(self._remote(arguments, variables))
            return result
        name = arguments["name"]
        members = {member["name"]: member["peer_url"] for member in arguments["members"]}
        seen = {
            member: _seen(variables, host) for member, host in zip(members, arguments.get("hosts", []), strict=True)
        }
        own = seen.get(name)
        if own is None:
            raise AnsibleActionFail(f"{name} was not looked at before")
        hosts = {member: _host(member, entry) for member, entry in seen.items()}
        if self._task.check_mode and arguments.get("will_change") and hosts[name].active:
            hosts[name] = replace(hosts[name], stale=True)
        cluster = _best_view([entry["cluster"] for entry in seen.values() if entry])
        consents = Consents(
            arguments["cluster_name"],
            arguments.get("bootstrap_consent") or "",
            arguments.get("discard_data_consent") or "",
        )
        try:
            todo = plan(name, hosts, members, cluster, consents)
        except EtcdError as error:
            raise AnsibleActionFail(str(error)) from None
        state = arguments.get("state", "present")
        if todo.refusal and (not todo.await_quorum or self._task.check_mode):
            raise AnsibleActionFail(f"cluster '{arguments['cluster_name']}': {todo.refusal}")
        unknown = sorted(member.title for member in cluster.members if member.name not in members) if cluster else []
        result.update(changed=False, action="nothing", steps=[], unknown_members=unknown)
        if state == "present" and unknown:
            result["warnings"] = [
                f"etcd has members the inventory does not know, which are left alone: {', '.join(unknown)}"
            ]
        if self._task.check_mode:
            steps = {"started": todo.starting, "present": todo.converging, "proven": ()}[state]
            text = "".join(f"{step}\n" for step in steps)
            result.update(
                changed=bool(steps),
                action=todo.action if steps else "nothing",
                steps=list(steps),
                diff={"before": "", "after": text},
            )
            return result
        if _is_needed(state, todo, own["proven"], variables, arguments["hosts"]):
            arguments["steps"] = list(todo.starting)
            arguments["observed"] = [host_to_plain(host) for host in hosts.values()]
            result.update(self._remote(arguments, variables))
        return result

    def _remote(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        return self._execute_module(
            module_name="caravan.cluster.etcd_member", module_args=arguments, task_vars=variables
        )


def _is_needed(state: str, todo: Plan, proven: bool, variables: dict[str, Any], inventory_names: list[str]) -> bool:
    if state == "started":
        return bool(todo.starting)
    if state == "present":
        # Without a quorum at the time of looking, members that have just been started may form one now, and then the
        # plan can be another. A new cluster needs nothing more.
        return bool(todo.converging) or todo.await_quorum
    return not proven or any(
        (variables["hostvars"][host].get(register) or {}).get("changed")
        for host in inventory_names
        for register in ("__etcd_started", "__etcd_present")
    )


def _seen(variables: dict[str, Any], host: str) -> dict[str, Any] | None:
    if host not in variables["hostvars"]:
        return None
    seen = variables["hostvars"][host].get("__etcd_seen")
    return seen if seen and "host" in seen else None


def _host(name: str, seen: dict[str, Any] | None) -> Host:
    return host_from_plain(seen["host"]) if seen else Host(name, reached=False)


def _best_view(views: list[Any]) -> Cluster | None:
    """All views come from linearizable reads. The one with the most healthy members is the least disturbed."""
    clusters = [cluster for cluster in map(cluster_from_plain, views) if cluster is not None]
    ids = {cluster.id for cluster in clusters}
    if len(ids) > 1:
        raise AnsibleActionFail(
            f"the hosts are members of different clusters: {', '.join(format(entry, 'x') for entry in sorted(ids))}"
        )
    return max(clusters, key=lambda cluster: sum(member.healthy for member in cluster.members), default=None)
