#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: units
short_description: Enable, start and refresh several systemd units in one task
version_added: 0.1.0
description:
  - Brings all units of a role to the wanted state in a single remote call. When nothing is to do, it asks
    systemd once.
  - Knows from the time stamps whether a running unit is older than its configuration or program (O(units[].files)).
    This also finds what an interrupted run left behind, which a notification from the task that wrote the file cannot.
  - systemd is told to read its unit files again only when it says that they changed, or when it does not know a unit.
author:
  - Caravan contributors (@caravan-cluster)
options:
  units:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name with its suffix, such as V(containerd.service).
        type: str
        required: true
      enabled:
        description: Whether it starts at boot. Left alone when not given.
        type: bool
      state:
        description: Whether it runs. Left alone when not given.
        type: str
        choices: [started, stopped]
      masked:
        description: Whether it is masked. Left alone when not given.
        type: bool
      missing_ok:
        description: Whether a unit that systemd does not know is passed over, as with other software's units.
        type: bool
        default: false
      files:
        description:
          - Configuration and programs that a running unit must not be older than.
          - Those that do not exist are passed over.
        type: list
        elements: path
        default: []
  outdated:
    description:
      - What to do with a unit that is older than one of its files.
      - V(report) only returns it and says changed, so that a handler is notified.
      - V(restart) and V(reload) are for that handler. It does nothing else; O(units[].state) and the like are
        passed over, so that it can be given the same units.
    type: str
    choices: [report, restart, reload]
    default: report
  changed_paths:
    description:
      - What the task before has written, such as the C(changed_paths) of M(caravan.cluster.files).
      - Only check mode looks here, in which nothing was written and no time stamp tells.
    type: list
    elements: path
    default: []
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Run containerd
  caravan.cluster.units:
    units:
      - name: containerd.service
        enabled: true
        state: started
        files: [/etc/containerd/config.toml, /usr/local/bin/containerd]
    changed_paths: "{{ __container_runtime_written.changed_paths }}"
  notify: container_runtime restart

# The handler
- name: Restart containerd
  caravan.cluster.units:
    units:
      - {name: containerd.service, files: [/etc/containerd/config.toml, /usr/local/bin/containerd]}
    outdated: restart
  listen: container_runtime restart
"""

RETURN = r"""
actions:
  description: What was done (in check mode, what would be done), as systemctl verbs for each unit.
  returned: always
  type: dict
  sample: {containerd.service: [enable, start]}
outdated_units:
  description: Units that were older than one of their files.
  returned: always
  type: list
  elements: str
  sample: [containerd.service]
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.units import PROPERTIES, describe, is_outdated, parse_show, plan


def argument_spec() -> dict:
    return {
        "units": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "enabled": {"type": "bool"},
                "state": {"type": "str", "choices": ["started", "stopped"]},
                "masked": {"type": "bool"},
                "missing_ok": {"type": "bool", "default": False},
                "files": {"type": "list", "elements": "path", "default": []},
            },
        },
        "outdated": {"type": "str", "choices": ["report", "restart", "reload"], "default": "report"},
        "changed_paths": {"type": "list", "elements": "path", "default": []},
    }


class Systemd:
    """The edge: talks to systemctl."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.program = module.get_bin_path("systemctl", required=True)

    def show(self, names: list[str]) -> dict[str, dict[str, str]]:
        out = self.run("show", "--property=" + ",".join(PROPERTIES), *names)
        try:
            return parse_show(out, names)
        except ValueError as error:
            self.module.fail_json(msg=str(error))
            raise

    def run(self, *arguments: str) -> str:
        code, out, err = self.module.run_command([self.program, *arguments])
        if code != 0:
            message = f"systemctl {' '.join(arguments)} failed ({code}): {(err or out).strip()}"
            if arguments[0] in ("start", "restart", "reload"):
                message += "\n" + self._journal(arguments[-1])
            self.module.fail_json(msg=message)
        return out

    def _journal(self, name: str) -> str:
        program = self.module.get_bin_path("journalctl")
        if not program:
            return ""
        return self.module.run_command([program, "--unit", name, "--lines", "20", "--no-pager", "--output", "cat"])[1]


def file_ages(paths: list[str]) -> list[float]:
    """Seconds since each existing file changed. The change time, not the modification time: a program that comes
    out of an archive carries the archive's modification time."""
    now = time.time()
    return [now - Path(path).stat().st_ctime for path in paths if Path(path).exists()]


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    systemd = Systemd(module)
    wanted = {unit["name"]: unit for unit in module.params["units"]}
    if not wanted:
        module.exit_json(changed=False, actions={}, outdated_units=[], diff={"before": "", "after": ""})
    observed = systemd.show(list(wanted))

    def unknown(name: str) -> bool:
        return observed[name].get("LoadState") == "not-found"

    stale = any(unit.get("NeedDaemonReload") == "yes" for unit in observed.values())
    if (stale or any(unknown(name) and not wanted[name]["missing_ok"] for name in wanted)) and not module.check_mode:
        systemd.run("daemon-reload")
        observed = systemd.show(list(wanted))

    mode = module.params["outdated"]
    would_change = set(module.params["changed_paths"]) if module.check_mode else set()
    actions: dict[str, list[str]] = {}
    outdated_units: list[str] = []
    for name, unit in wanted.items():
        if unknown(name) and unit["masked"] is not True:
            if unit["missing_ok"] or mode != "report":
                continue
            # In check mode the unit file may be one that an earlier task would have written.
            if not module.check_mode:
                module.fail_json(msg=f"systemd does not know the unit {name}")
        active = observed[name].get("ActiveState") in ("active", "reloading")
        if is_outdated(observed[name], file_ages(unit["files"]), time.monotonic()) or (
            active and would_change & set(unit["files"])
        ):
            outdated_units.append(name)
        verbs = plan(unit, observed[name]) if mode == "report" else [mode] * (name in outdated_units)
        if verbs:
            actions[name] = verbs
    if not module.check_mode:
        for name, verbs in actions.items():
            for verb in verbs:
                systemd.run(verb, name)

    touched = sorted({*actions, *outdated_units})
    module.exit_json(
        changed=bool(touched),
        actions=actions,
        outdated_units=outdated_units,
        diff={
            "before": "".join(f"{name}: {describe(observed[name])}\n" for name in touched),
            "after": "".join(
                f"{name}: {', '.join(actions.get(name, ['older than its configuration or program']))}\n"
                for name in touched
            ),
        },
    )


if __name__ == "__main__":
    main()
