# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program as AnsibleModule.run_command does, for the code that modules and this program share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

# Seconds. kubeadm makes a certificate in less than one; systemctl waits for a unit to start.
TIMEOUT = 120
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"


def run(
    argv: list[str], path_prefix: str = "", environ_update: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Return (exit code, standard output, standard error)."""
    path = f"{path_prefix}:{PATH}" if path_prefix else PATH
    environment = {**os.environ, "PATH": path, **(environ_update or {})}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except FileNotFoundError:
        return 127, "", f"the program {argv[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, "", f"it took more than {TIMEOUT} s"
    return done.returncode, done.stdout, done.stderr
