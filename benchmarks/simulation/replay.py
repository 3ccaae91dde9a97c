# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to hosts that do not exist: every module is answered with what a real host answered to it.

The controller does all of its work (templates, arguments, packing modules, judging results), the hosts none.
"""

from __future__ import annotations

import re
import time
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

CLOCK = re.compile(r'"clock": \{[^{}]*\}')
MODULE = re.compile(rb"module_fqn='(?P<name>[\w.]+)'")


class Connection(ConnectionBase):
    transport = "replay"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        match = MODULE.search(in_data or b"")
        if match is None:
            return 0, b"", b""
        name = match["name"].decode()
        path = Path(self.get_option("recorded")) / f"{name}.json"
        try:
            answer = path.read_text()
        except FileNotFoundError as error:
            raise AnsibleConnectionFailure(f"no answer of {name} was recorded in {path.parent}") from error
        for recorded, own in self.get_option("names").items():
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
