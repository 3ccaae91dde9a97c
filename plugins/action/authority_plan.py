# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans, on the controller and in memory, how the certificate authorities of all hosts are rotated."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._authority.catalogue import AUTHORITIES, BUNDLES, ETCD, FRONT_PROXY, KUBERNETES, LEAVES, Bundle
from ..module_utils._authority.errors import AuthorityError
from ..module_utils._authority.hostvars import HELD, seen_of, told_of, unsigned
from ..module_utils._authority.planner import KEY, REMOVE, STAGES, TRUST, Place, Rotation, Seen, plan, steps
from ..module_utils._identity import crypto
from ..module_utils._identity.catalogue import ITEMS
from ..module_utils._identity.pem import certificates, fingerprint

WORDS = {
    TRUST: "{name}: have the old and the new authority trusted on {hosts}",
    KEY: "{name}: sign with the new authority on {hosts}",
    "sign": "{name}: have everything signed again on {hosts}",
    REMOVE: "{name}: take the old authority away on {hosts}",
}
READERS = {
    KUBERNETES: {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"},
    FRONT_PROXY: {"kube-apiserver", "kube-controller-manager"},
    ETCD: {"etcd", "kube-apiserver"},
}
ITEM = {name: next(item for item in ITEMS if item.name == f"{name}_ca") for name in AUTHORITIES}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "authorities": {
                    "type": "list",
                    "elements": "str",
                    "choices": list(AUTHORITIES),
                    "required": True,
                },
                "published": {"type": "dict", "required": True},
                "key_algorithm": {"type": "str", "choices": list(crypto.ALGORITHMS), "default": "ecdsa-p256"},
                "validity_days": {"type": "int", "default": 3650},
            }
        )
        variables = task_vars or {}
        try:
            result.update(Planning(arguments, variables).result())
        except AuthorityError as error:
            raise AnsibleActionFail(str(error)) from None
        # Failures above stay readable; a success carries keys and is never shown.
        result.update(changed=False, _ansible_no_log=True)
        return result


class Planning:
    """All authorities of all hosts at once, so that each host is worked on once for all of them."""

    def __init__(self, arguments: dict[str, Any], variables: dict[str, Any]) -> None:
        self.arguments = arguments
        self.hostvars = variables["hostvars"]
        self.published = arguments["published"].get("certificates") or {}
        self.differs = arguments["published"].get("differs") or []
        self.entries = seen_of(arguments["hosts"], variables)
        # By fingerprint. Keys are what hosts hold, and what is made here.
        self.pem: dict[str, str] = {}
        self.key: dict[str, str] = {}

    def result(self) -> dict[str, Any]:
        seen = {name: self.seen_of(name) for name in AUTHORITIES}
        settled = self.settled()
        begun_any = any(self.rotation(name, seen[name], False, settled[name]).begun for name in AUTHORITIES)
        rotations = {
            # What has begun is completed first, and alone.
            name: self.rotation(
                name, seen[name], name in self.arguments["authorities"] and not begun_any, settled[name]
            )
            for name in AUTHORITIES
        }
        newest = {name: self.pem[one.newest] for name, one in rotations.items() if one.rotates}
        missing = {host: unsigned(entry, newest) for host, entry in self.entries.items()}
        told = []
        for name in newest:
            count = {host: sum(leaf["authority"] == name for leaf in leaves) for host, leaves in missing.items()}
            for step, hosts in steps(rotations[name], seen[name], count):
                told.append(WORDS[step].format(name=name, hosts=", ".join(hosts)))
        stale = {host: entry["stale"] for host, entry in self.entries.items() if entry["stale"]}
        return {
            "begun": begun_any,
            "rotated": list(newest),
            "newest": newest,
            "fingerprints": told_of(newest),
            "told": told or [f"start anew what uses former files still: {stale or self.differs}"],
            # Until everything is signed, pods may still have to learn of the new authority.
            "restart": rotations[KUBERNETES].rotates
            and any(leaf["authority"] == KUBERNETES for leaves in missing.values() for leaf in leaves),
            "sign": {host: self.kubeadm_names(leaves) for host, leaves in missing.items()},
            "approver": {host: self.has(leaves, "csr-approver.conf") for host, leaves in missing.items()},
            "kubelet": {
                host: self.has(leaves, "kubelet-client-current.pem", "kubelet-server-current.pem")
                for host, leaves in missing.items()
            },
            "targets": {host: {stage: self.files(host, stage, rotations) for stage in STAGES} for host in self.entries},
        }

    def seen_of(self, name: str) -> dict[Place, Seen]:
        seen: dict[Place, Seen] = {}
        for bundle in (one for one in BUNDLES if one.authority == name):
            for host, entry in self.entries.items():
                if bundle.path in entry["bundles"]:
                    seen[host, bundle.path] = self.one(host, bundle, entry["bundles"][bundle.path])
        return seen

    def one(self, host: str, bundle: Bundle, text: str) -> Seen:
        """Return what a file says, and remember its certificates and the key beside it."""
        try:
            found = {fingerprint(pem): pem for pem in certificates(text)}
            key = self.held(host).get(bundle.key) if bundle.key else None
            signer = None
            if key:
                signer = next((one for one, pem in found.items() if crypto.is_pair(pem, key)), "")
        except (ValueError, TypeError):
            raise AuthorityError(f"{host}: {bundle.path} or {bundle.key} cannot be read; is it damaged?") from None
        if not found or signer == "":
            raise AuthorityError(
                f"{host}: {bundle.key} fits none of the certificates in {bundle.path}. Bring the right key back from "
                "another host or the identity bundle; nothing was changed."
            )
        self.pem.update(found)
        if key and signer:
            self.key[signer] = key
        return Seen(tuple(found), signer)

    def held(self, host: str) -> dict[str, str]:
        return ((self.hostvars.get(host) or {}).get(HELD) or {}).get("files") or {}

    def settled(self) -> dict[str, bool]:
        """Whether nothing speaks for a rotation that was cut off at its very end, when the files were done."""
        stale = {component for entry in self.entries.values() for component in entry["stale"]}
        return {name: not stale & READERS[name] and not (self.differs and name != ETCD) for name in AUTHORITIES}

    def born(self, one: str) -> datetime:
        facts = crypto.read_leaf(self.pem[one], self.pem[one], True, True)
        if facts is None:
            raise AuthorityError(f"the certificate {one[:12]} of an authority cannot be read; is it damaged?")
        return facts.not_before

    def rotation(self, name: str, seen: dict[Place, Seen], wanted: bool, settled: bool) -> Rotation:
        published = {fingerprint(pem): pem for pem in self.published.get(name, [])}
        self.pem.update(published)
        born = {
            one: self.born(one) for one in [*published, *(one for had in seen.values() for one in had.certificates)]
        }
        try:
            return plan(seen, born, wanted, lambda: self.make(name), settled, list(published))
        except AuthorityError as error:
            raise AuthorityError(f"{ITEM[name].title}: {error}; nothing was changed") from None

    def make(self, name: str) -> str:
        key = crypto.generate_key(self.arguments["key_algorithm"])
        # The same name as before: a certificate that was lost can still be made from its key. Clients tell authorities
        # apart by the identifiers of their keys.
        pem = crypto.authority_certificate(
            key, ITEM[name].common_name, self.arguments["validity_days"], datetime.now(timezone.utc)
        )
        made = fingerprint(pem)
        self.pem[made], self.key[made] = pem, key
        return made

    def files(self, host: str, stage: str, rotations: dict[str, Rotation]) -> list[dict[str, Any]]:
        """Return what has to lie on a host after a stage, for the module files. Keys before certificates."""
        keys, bundles = [], []
        for bundle in BUNDLES:
            rotation = rotations[bundle.authority]
            place = (host, bundle.path)
            if place not in rotation.targets[stage]:
                continue
            # An authority that is not replaced is left alone, unless something has to be taken out of its file.
            now = tuple(fingerprint(pem) for pem in certificates(self.entries[host]["bundles"][bundle.path]))
            if not rotation.rotates and rotation.targets[stage][place] == now:
                continue
            content = "".join(self.pem[one] for one in rotation.targets[stage][place])
            bundles.append({"dest": bundle.path, "content": content, "mode": "0644"})
            if stage == KEY and bundle.key and self.held(host).get(bundle.key):
                content = self.key[rotation.newest]
                keys.append({"dest": bundle.key, "content": content, "mode": "0600", "secret": True})
        return keys + bundles

    @staticmethod
    def kubeadm_names(leaves: list[Any]) -> list[str]:
        paths = {leaf["path"] for leaf in leaves}
        return [leaf.kubeadm for leaf in LEAVES if leaf.kubeadm and leaf.path in paths]

    @staticmethod
    def has(leaves: list[Any], *names: str) -> bool:
        return any(leaf["path"].endswith(names) for leaf in leaves)
