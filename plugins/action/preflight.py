# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads variables and facts of all hosts, hands them to the pure checks, and reports all problems in one failure.

Cost is what matters here: a variable is rendered only where it has to be, and a value that a group gives to a hundred
hosts is checked once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils._preflight import backups, certificates, mirror, spec
from ..module_utils._preflight import hosts as host_checks
from ..module_utils._preflight import inventory as inventory_checks
from ..module_utils._preflight.problem import Problem, lines, message

COLLECTION = Path(__file__).resolve().parent.parent.parent
CATALOGUE = COLLECTION / "roles" / "artifacts" / "files" / "catalogue"
# Where the catalogue names no version of Kubernetes (a collection without it, say).
SUPPORTED = ["1.35.4", "1.36.3"]
PER_HOST = ("cluster_node_address", "cluster_node_name")
# Prefixes of the variables the checks themselves read.
READ = ("preflight_", "artifacts_")
MISSING = object()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            {"check": {"type": "str", "choices": ["inventory", "hosts"], "required": True}}
        )
        site = Site(self._templar, self._loader, task_vars or {})
        if arguments["check"] == "inventory":
            checked, problems, what = len(site.hosts), list(site.inventory_problems()), "the inventory"
        else:
            probes = site.probes()
            values = {host: site.settings(host) for host in probes}
            checked, problems, what = len(probes), host_checks.check(probes, site.groups, values), "the hosts"
        result.update(changed=False, checked=checked, problems=len(lines(problems)))
        if problems:
            result.update(failed=True, msg=message(problems, what, checked))
        return result


class Site:
    """The inventory as the checks see it."""

    def __init__(self, templar: Any, loader: Any, task_vars: dict[str, Any]) -> None:
        self._templar = templar
        self._loader = loader
        self._hostvars = task_vars["hostvars"]
        self.groups: dict[str, list[str]] = task_vars["groups"]
        self.hosts = list(dict.fromkeys([*inventory_checks.members(self.groups), *self.groups.get("mirror", ())]))
        self._play_hosts = set(task_vars.get("ansible_play_hosts", ()))
        self.roles, self.specification, self.defaults = self._load()
        self._raw = {host: self._hostvars.raw_get(host) for host in self.hosts}
        self._play = self._play_variables(task_vars)
        self._templars: dict[str, Any] = {}
        self._settings: dict[str, dict[str, Any]] = {}
        self._plain: dict[int, bool] = {}

    def _load(self) -> tuple[list[str], spec.Spec, dict[str, Any]]:
        """Names, specifications and defaults of all roles of this collection."""
        roles: list[str] = []
        contents: list[dict[str, Any]] = []
        defaults: dict[str, Any] = {}
        for folder in sorted((COLLECTION / "roles").iterdir()):
            if not folder.is_dir():
                continue
            roles.append(folder.name)
            for name in ("argument_specs.yml", "argument_specs.yaml"):
                if (folder / "meta" / name).is_file():
                    contents.append(self._loader.load_from_file(str(folder / "meta" / name)) or {})
            for path in self._default_files(folder):
                defaults.update(self._loader.load_from_file(str(path), trusted_as_template=True) or {})
        return roles, spec.flatten(contents), defaults

    @staticmethod
    def _default_files(role: Path) -> Iterator[Path]:
        for folder in ("defaults", "vars"):
            path = role / folder / "main.yml"
            # Of the roles' vars only those matter that the role cluster's defaults refer to.
            if path.is_file() and (folder == "defaults" or role.name == "cluster"):
                yield path

    def _play_variables(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the play, not the inventory, sets. Role defaults also come with the task, but say nothing new."""
        own = self._raw.get(task_vars["inventory_hostname"], {})
        return {
            name: value
            for name, value in task_vars.items()
            if name not in own
            and not name.startswith(("ansible_", "__"))
            and (name in self.specification or name.startswith(READ))
            and (name not in self.defaults or value != self.defaults[name])
        }

    # -- values ------------------------------------------------------------------------------------------

    def _source(self, host: str, name: str) -> Any:
        """The unrendered value as the inventory or the play sets it."""
        return self._play.get(name, self._raw[host].get(name, MISSING))

    def value(self, host: str, name: str) -> Any:
        """The value, rendered, with the roles' defaults below. Raises AnsibleError where it cannot be rendered."""
        source = self._source(host, name)
        if source is MISSING:
            source = self.defaults.get(name, MISSING)
        if source is MISSING or self._is_plain(source):
            return source
        if host not in self._templars:
            variables = {**self.defaults, **self._raw[host], **self._play, "hostvars": self._hostvars}
            self._templars[host] = self._templar.copy_with_new_env(available_variables=variables)
        return self._templars[host].template(source)

    def _is_plain(self, value: Any) -> bool:
        """Whether there is nothing to render in a value. Remembered by identity: group variables are shared objects."""
        known = self._plain.get(id(value))
        if known is None:
            known = self._plain[id(value)] = self._plain_value(value)
        return known

    def _plain_value(self, value: Any) -> bool:
        if isinstance(value, str):
            return "{{" not in value and "{%" not in value and "{#" not in value
        if isinstance(value, dict):
            return all(self._plain_value(item) for item in value.values())
        if isinstance(value, (list, tuple)):
            return all(self._plain_value(item) for item in value)
        return value is None or isinstance(value, (bool, int, float))

    def settings(self, host: str) -> dict[str, Any]:
        """What the checks read. A value that cannot be rendered is left out; the inventory's check has said so."""
        if host not in self._settings:
            names = {*inventory_checks.SHARED, *PER_HOST, *backups.READ, *certificates.READ}
            names.update(name for name in self.defaults if name.startswith(READ) or name.endswith("_version"))
            found = {}
            for name in names:
                try:
                    value = self.value(host, name)
                except AnsibleError:
                    continue
                if value is not MISSING and value is not None:
                    found[name] = spec.converted(self.specification.get(name, {}).get("type", "str"), value)
            self._settings[host] = found
        return self._settings[host]

    # -- checks ------------------------------------------------------------------------------------------

    def inventory_problems(self) -> Iterator[Problem]:
        members = inventory_checks.members(self.groups)
        values = {host: self.settings(host) for host in self.hosts}
        first = values.get(members[0], {}) if members else {}
        yield from self._unknown_names(first)
        wrong = list(self._wrong_types())
        yield from wrong
        # A value of the wrong type would be reported a second time, less clearly, by the checks of its content.
        for problem in wrong:
            for own in values.values():
                own.pop(problem.change, None)
        supported = first.get("preflight_supported_kubernetes_versions") or self._catalogue_versions()
        reported = {problem.change for problem in wrong}
        for problem in inventory_checks.check(
            self.groups, values, [str(version) for version in supported], int(first.get("preflight_pods_per_node", 110))
        ):
            if not (problem.change in reported and problem.seen.endswith("is not set")):
                yield problem
        etcd, control_plane = self.groups.get("etcd", []), self.groups.get("control_plane", [])
        yield from backups.check(etcd, [host for host in control_plane if host not in etcd], values)
        yield from certificates.check(list(dict.fromkeys([*etcd, *control_plane])), values)
        addresses = [str(self._raw[host].get("ansible_host", host)) for host in self.groups.get("mirror", ())]
        yield from mirror.check(first, addresses, self._artifact_names())

    def _unknown_names(self, settings: dict[str, Any]) -> Iterator[Problem]:
        holders: dict[str, list[str]] = {}
        for host in self.hosts:
            for name in self._raw[host]:
                holders.setdefault(name, []).append(host)
        known = {*self.specification, *self._playbook_names()}
        ignored = [str(name) for name in settings.get("preflight_ignored_variables") or ()]
        for name, near in spec.unknown(holders, known, self.roles, ignored).items():
            place = origin(self._raw[holders[name][0]][name])
            wanted = near or "a variable of one of its roles"
            change = f"{name} to {near}" if near else f"{name}, or name it in preflight_ignored_variables"
            for host in holders[name]:
                yield Problem(host, f"{name}{place} is not a variable of caravan.cluster", wanted, change)

    @staticmethod
    def _playbook_names() -> set[str]:
        """Whatever the collection's playbooks mention (hosts patterns, consents) is known too, without a type."""
        found: set[str] = set()
        for path in sorted((COLLECTION / "playbooks").glob("*.yml")):
            found.update(re.findall(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b", path.read_text(encoding="utf-8")))
            found.add(f"{path.stem}_consent")
        return found

    def _wrong_types(self) -> Iterator[Problem]:
        checked: dict[tuple[str, int], list[tuple[str, str]]] = {}
        for name, entry in self.specification.items():
            for host in self.hosts:
                source = self._source(host, name)
                if source is MISSING:
                    continue
                key = (name, id(source))
                if key not in checked or not self._is_plain(source):
                    checked[key] = list(self._mistakes(host, name, entry, source))
                for seen, wanted in checked[key]:
                    yield Problem(host, seen, wanted, name)

    def _mistakes(self, host: str, name: str, entry: dict[str, Any], source: Any) -> Iterator[tuple[str, str]]:
        try:
            value = self.value(host, name)
        except AnsibleError as error:
            if not self._needs_facts(host, source):
                reason = str(getattr(error, "message", error)).strip().splitlines()[0].rstrip(".")
                yield f"{name}{origin(source)} cannot be rendered ({reason})", "a value"
            return
        if not isinstance(source, (str, dict, list, tuple, bool, int, float, type(None))):
            entry = {**entry, "no_log": True}  # encrypted by Ansible Vault
        for seen, wanted in spec.mistakes(name, entry, value):
            yield f"{seen}{origin(source)}", wanted

    def _needs_facts(self, host: str, value: Any, depth: int = 5) -> bool:
        """Whether a value depends, perhaps through other variables, on facts, which are not known yet."""
        if isinstance(value, dict):
            return any(self._needs_facts(host, item, depth) for item in value.values())
        if isinstance(value, (list, tuple)):
            return any(self._needs_facts(host, item, depth) for item in value)
        if not isinstance(value, str) or depth == 0:
            return False
        words = set(re.findall(r"[A-Za-z_]\w*", value)) if "{" in value else set()
        if words & {"ansible_facts", "hostvars"}:
            return True
        variables = {**self.defaults, **self._raw[host]}
        return any(self._needs_facts(host, variables[word], depth - 1) for word in words if word in variables)

    def _catalogue_versions(self) -> list[str]:
        path = CATALOGUE / "kubernetes.yml"
        content = self._loader.load_from_file(str(path)) if path.is_file() else {}
        return sorted(map(str, (content or {}).get("versions") or ())) or SUPPORTED

    def _artifact_names(self) -> set[str]:
        names: set[str] = set()
        for path in sorted(CATALOGUE.glob("*.yml")):
            content = self._loader.load_from_file(str(path)) or {}
            names.update(name for kind in ("files", "images") for name in content.get(kind) or ())
        return names

    def probes(self) -> dict[str, dict[str, Any]]:
        """What host_probe saw, for the hosts that are still in the play."""
        found = {}
        for host in inventory_checks.members(self.groups):
            facts = self._raw[host].get("ansible_facts") or {}
            if host in self._play_hosts and "caravan_host" in facts:
                architecture = facts.get("architecture", host_checks.ARCHITECTURES[0])
                found[host] = {**facts["caravan_host"], "architecture": architecture}
        return found


def origin(value: Any) -> str:
    """` (file:line)` of a value of the inventory where Ansible knows it, or nothing."""
    try:
        from ansible._internal._datatag._tags import Origin
    except ImportError:
        return ""
    tag = Origin.get_tag(value)
    if tag is None or not tag.path:
        return ""
    path = os.path.relpath(tag.path)
    path = tag.path if path.startswith("..") else path
    return f" ({path}:{tag.line_num})" if tag.line_num else f" ({path})"
