# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine has written on its console: a blob in a storage account of Azure's own."""

from __future__ import annotations

import urllib.error

from ansible.module_utils.urls import ConnectionError as UnreachableError
from ansible.module_utils.urls import open_url

from ..errors import TransientError
from .arm import Place

TIMEOUT = 30


def console(place: Place, machine: str) -> str:
    """machine: its id. The address of the blob is a secret for some minutes, so no message repeats it."""
    name = machine.rsplit("/", 1)[1]
    operation = "compute.virtual_machines.retrieve_boot_diagnostics_data"
    answer = place.api.call(operation, place.group, name, about=name)
    url = answer.get("serialConsoleLogBlobUri")
    if not url:
        raise TransientError(f"{name}: there is no log of its console yet")
    try:
        blob = open_url(url, timeout=TIMEOUT, ca_path=place.api.settings.ca_file or None)
        return str(blob.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        raise TransientError(f"{name}: the log of its console: {error.code}") from None
    # Whatever else the network, or the certificate, is not ready for.
    except (OSError, ValueError, UnreachableError) as error:
        raise TransientError(f"{name}: the log of its console: {type(error).__name__}") from None
