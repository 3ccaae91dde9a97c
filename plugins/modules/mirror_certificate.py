#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_certificate
short_description: Keep a server's own certificate authority and its certificate
version_added: 0.1.0
description:
  - Makes C(ca.crt), C(ca.key), C(server.crt) and C(server.key) in a directory of the controller, the keys with mode
    0600.
  - The authority stays as it is once it exists. The server certificate is made anew when it lacks a wanted name or
    ends soon.
author:
  - Caravan contributors (@caravan-cluster)
options:
  path:
    description: The directory.
    type: path
    required: true
  names:
    description: DNS names and addresses of the server, the first being its main name.
    type: list
    elements: str
    required: true
  title:
    description: What the server is, for the name of the certificate authority.
    type: str
    default: mirror
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Keep the mirror's certificate
  caravan.cluster.mirror_certificate:
    path: /etc/caravan/mirror
    names: [mirror.example.org, 192.0.2.10]
"""

RETURN = r"""
reasons:
  description: Why a certificate was made (in check mode, would be). Empty when all is well.
  returned: success
  type: list
  elements: str
  sample: [it does not exist]
"""

import datetime
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import tls
from ..module_utils._artifacts.errors import ArtifactError


def read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def write(path: Path, data: bytes, mode: int) -> None:
    """Atomically, and never readable by more than `mode` says."""
    part = path.with_name(f".{path.name}.part")
    part.unlink() if part.exists() else None
    with os.fdopen(os.open(str(part), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as output:
        output.write(data)
    part.chmod(mode)
    part.replace(path)


def issue(directory: Path, names: list[str], title: str, now: datetime.datetime) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_key_pem, ca_pem = read(directory / "ca.key"), read(directory / "ca.crt")
    if bool(ca_key_pem) != bool(ca_pem):
        raise ArtifactError(f"{directory} has only one of ca.key and ca.crt: bring the other back, or remove both")
    if ca_key_pem:
        ca_key = tls.load_key(ca_key_pem)
    else:
        ca_key, ca_key_pem = tls.new_key()
        ca_pem = tls.authority(ca_key, f"{names[0]} {title} CA"[:64], now)
        write(directory / "ca.key", ca_key_pem, 0o600)
        write(directory / "ca.crt", ca_pem, 0o644)
    key, key_pem = tls.new_key()
    write(directory / "server.key", key_pem, 0o600)
    write(directory / "server.crt", tls.server(ca_pem, ca_key, key, names, now), 0o644)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "title": {"type": "str", "default": "mirror"},
        },
        supports_check_mode=True,
    )
    directory, names = Path(module.params["path"]), module.params["names"]
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        reasons = tls.problems(read(directory / "ca.crt"), read(directory / "server.crt"), names, now)
        if not read(directory / "server.key"):
            reasons.append("its key does not exist")
        if reasons and not module.check_mode:
            issue(directory, names, module.params["title"], now)
    except (ArtifactError, OSError, ValueError) as error:
        module.fail_json(msg=f"{directory}: {error}")
    lines = "".join(f"{reason}\n" for reason in reasons)
    module.exit_json(changed=bool(reasons), reasons=reasons, diff={"before": lines, "after": ""})


if __name__ == "__main__":
    main()
