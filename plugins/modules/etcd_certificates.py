#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_certificates
short_description: Renew etcd's certificates on a member and see them in use
version_added: 0.2.0
description:
  - Renews etcd's certificates on a host that holds etcd's authority, where they have less than 30 % of their life left,
    one after another. Each one is seen in use, and the whole of etcd seen well, before the next. Use C(throttle) so
    that only one member is worked on at a time.
  - Where etcd was not well before, nothing is waited for, so that it also serves to bring back members whose
    certificates have expired.
  - Needs the library C(cryptography) on the host.
author:
  - Caravan contributors (@caravan-cluster)
options:
  everything:
    description: Renew also what has more of its life left.
    type: bool
    default: false
  local_url:
    description: The client URL of the host's own member.
    type: str
    default: https://127.0.0.1:2379
  peer_port:
    description: The port on which the member listens for its peers.
    type: int
    default: 2380
  timeout:
    description: How long to wait, in seconds, after each certificate.
    type: int
    default: 60
extends_documentation_fragment:
  - caravan.cluster.attributes
  - caravan.cluster.identity
  - caravan.cluster.identity.leaves
attributes:
  diff_mode:
    support: none
  idempotent:
    support: full
    details: Except with O(everything).
"""

EXAMPLES = r"""
- name: Renew etcd's certificates, one member after another
  caravan.cluster.etcd_certificates:
    parts: [etcd]
    name: node1
    address: 192.0.2.11
  throttle: 1
"""

RETURN = r"""
renewed:
  description: What was renewed (in check mode, would be), and why.
  returned: success
  type: dict
  sample: {/etc/etcd/pki/server.crt: 21% of its life is left}
"""

import datetime

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._certificates import guard, leaves
from ..module_utils._certificates.errors import CertificateError
from ..module_utils._etcd.model import EtcdError
from ..module_utils._identity import arguments
from ..module_utils._identity.crypto import HAS_CRYPTOGRAPHY
from ..module_utils._kubeadm.errors import KubeadmError
from ..module_utils._kubeadm.steps import locked

# Seconds for which a run of the host's own timer is waited for.
PATIENCE = 300


def argument_spec() -> dict:
    return {
        "parts": {"type": "list", "elements": "str", "choices": ["etcd", "control_plane"], "required": True},
        **arguments.LEAVES,
        "everything": {"type": "bool", "default": False},
        "local_url": {"type": "str", "default": "https://127.0.0.1:2379"},
        "peer_port": {"type": "int", "default": 2380},
        "timeout": {"type": "int", "default": 60},
    }


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def due(params: dict, site: leaves.Site) -> list[tuple[leaves.Leaf, str]]:
    """The certificates to renew, and why."""
    asked = "asked for" if params["everything"] else ""
    found = leaves.on_host(params["parts"], site, now())
    return [(leaf, leaf.aged or asked) for leaf in found if leaf.held is not None and (leaf.aged or asked)]


def trouble(site: leaves.Site) -> list[str]:
    try:
        return guard.etcd_trouble(leaves.gateway(site, {}))
    except EtcdError as error:
        return [str(error)]


def renew(leaf: leaves.Leaf, site: leaves.Site, timeout: float) -> None:
    """Renew one; where etcd was well before, it has to be so afterwards, with this certificate."""
    well = not trouble(site)
    leaves.renew(leaf, site, now())
    if not well:
        return

    def seen() -> list[str]:
        words = leaves.in_use(leaf, site)
        return [words] if words is not None else trouble(site)

    left = guard.settled(seen, timeout)
    if left:
        what = f"{leaf.file.certificate} was renewed, and etcd was not well within {timeout} s"
        raise CertificateError(f"{site.name}: {what}: {'; '.join(left)}")


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg="Python's library cryptography is not on the host (package python3-cryptography)")
    site = leaves.Site(
        name=params["name"],
        address=params["address"],
        extra_names=params["extra_names"],
        key_algorithm=params["key_algorithm"],
        days=params["leaf_validity_days"],
        local=params["local_url"],
        peer_port=params["peer_port"],
    )
    renewed: dict = {}
    try:
        if module.check_mode:
            renewed = {leaf.file.certificate: reason for leaf, reason in due(params, site)}
        else:
            with locked(PATIENCE):
                for leaf, reason in due(params, site):
                    renew(leaf, site, params["timeout"])
                    renewed[leaf.file.certificate] = reason
    except (CertificateError, EtcdError, KubeadmError, OSError) as error:
        module.fail_json(msg=str(error), renewed=renewed)
    module.exit_json(changed=bool(renewed), renewed=renewed)


if __name__ == "__main__":
    main()
