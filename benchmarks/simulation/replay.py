# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to hosts that do not exist: every module is answered with what a real host answered to it.

The controller does all of its work (templates, arguments, packing modules, judging results), the hosts none.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: replay
short_description: Answers modules with recorded results
description: Answers modules with recorded results, so that the controller's own cost can be measured.
author: Caravan contributors
options:
  recorded:
    description: Directory with one file per module, as recorded from a host like this one.
    type: path
    required: true
    vars:
      - name: replay_recorded
  names:
    description: What stands in the recorded results, and what stands in its place for this host.
    type: dict
    required: true
    vars:
      - name: replay_names
extends_documentation_fragment:
  - connection_pipelining
"""

PARAMETERS = re.compile(rb"params=(?P<literal>'(?:[^'\\]|\\.)*')")
CLOCK = re.compile(r'"clock": \{[^{}]*\}')
MODULE = re.compile(rb"module_fqn='(?P<name>[\w.]+)'")


def identify(payload: bytes, names: Mapping[str, str]) -> tuple[str, str] | None:
    """Return a packed module's name and a digest of its arguments, or None where the payload is no module.

    `names` maps what is a host's own to what stands for it in all digests.
    """
    module, parameters = MODULE.search(payload), PARAMETERS.search(payload)
    if module is None or parameters is None:
        return None
    arguments = json.loads(ast.literal_eval(parameters["literal"].decode()))["ANSIBLE_MODULE_ARGS"]
    text = json.dumps({key: value for key, value in arguments.items() if not key.startswith("_")}, sort_keys=True)
    for own, common in names.items():
        text = text.replace(own, common)
    return module["name"].decode(), hashlib.sha256(text.encode()).hexdigest()[:12]


class Connection(ConnectionBase):
    transport = "replay"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        names = self.get_option("names")
        found = identify(in_data or b"", {own: recorded for recorded, own in names.items()})
        if found is None:
            return 0, b"", b""
        # The answer to these very arguments, or else to others: simulated hosts have what the recorded one has.
        answers = sorted(Path(self.get_option("recorded")).glob(f"{found[0]}-*.json"))
        if not answers:
            raise AnsibleConnectionFailure(f"no answer of {found[0]} was recorded")
        answer = next((path for path in answers if found[1] in path.name), answers[0]).read_text()
        for recorded, own in names.items():
            answer = answer.replace(recorded, own)
        # Of all that a host says, only its clock may not be as old as the recording.
        now = time.time()
        answer = CLOCK.sub(f'"clock": {{"start": {now}, "end": {now}}}', answer)
        return 0, answer.encode(), b""

    def put_file(self, in_path: str, out_path: str) -> None:
        pass

    def fetch_file(self, in_path: str, out_path: str) -> None:
        raise AnsibleConnectionFailure(f"nothing to fetch from {out_path}")

    def close(self) -> None:
        self._connected = False
