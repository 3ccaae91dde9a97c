#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_held
short_description: Read what a host holds of the cluster's identity
version_added: 0.1.0
description:
  - Reads the certificate authorities, the service-account key and the secrets-encryption keys of a host, and what is
    public of its own certificates. Changes nothing.
  - The result contains private keys. Use C(no_log=true).
author:
  - Caravan contributors (@caravan-cluster)
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.identity
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Read what this host holds
  caravan.cluster.identity_held:
    parts: [etcd, control_plane]
  register: __identity_held
  no_log: true
"""

RETURN = r"""
parts:
  description: The parts asked for.
  returned: always
  type: list
  elements: str
  sample: [control_plane]
files:
  description: Contents of the shared files, by path. Secret.
  returned: always
  type: dict
  sample: {}
attributes:
  description: Mode, owner and group of the shared files, by path.
  returned: always
  type: dict
  sample: {/etc/kubernetes/pki/ca.key: 0600 root root}
unreadable:
  description: Files that are there but cannot be read, with the reason.
  returned: always
  type: dict
  sample: {}
certificates:
  description: The host's own certificates by path; whether the key beside each fits and is readable by its owner only.
  returned: always
  type: dict
  sample: {/etc/etcd/pki/server.crt: {pem: "-----BEGIN CERTIFICATE-----...", fits_key: true, key_is_private: true}}
signs:
  description: Paths that show that a cluster has lived on this host.
  returned: always
  type: list
  elements: str
  sample: [/var/lib/etcd/member]
etcd_user:
  description: Whether the user etcd exists.
  returned: always
  type: bool
  sample: true
"""

import pwd
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._identity.catalogue import SIGNS_OF_LIFE, derived_of, leaves_of, shared_of
from ..module_utils._identity.held import attributes_of, certificate_of


def user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def read(parts: list[str]) -> dict:
    files: dict[str, str] = {}
    attributes: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for shared in shared_of(parts) + derived_of(parts):
        path = Path(shared.path)
        try:
            files[shared.path] = path.read_text(encoding="utf-8")
            attributes[shared.path] = attributes_of(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            unreadable[shared.path] = str(error)
    certificates: dict[str, dict] = {}
    for leaf in leaves_of(parts):
        found = certificate_of(leaf)
        if found is not None:
            certificates[leaf.certificate] = found
    return {
        "parts": parts,
        "files": files,
        "attributes": attributes,
        "unreadable": unreadable,
        "certificates": certificates,
        "signs": [sign for sign in SIGNS_OF_LIFE if Path(sign).exists()],
        "etcd_user": user_exists("etcd"),
    }


def argument_spec() -> dict:
    return {
        "parts": {"type": "list", "elements": "str", "choices": ["etcd", "control_plane"], "required": True},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.exit_json(changed=False, **read(module.params["parts"]))


if __name__ == "__main__":
    main()
