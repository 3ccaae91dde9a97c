# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settles the cluster's identity on the controller, in memory, from what all its hosts hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._identity import crypto
from ..module_utils._identity.catalogue import Item
from ..module_utils._identity.settle import Held, IdentityRefused, decide

EXPIRES_SOON = timedelta(days=365)


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "cluster_name": {"type": "str", "required": True},
                "create_consent": {"type": "str", "default": ""},
                "hosts": {"type": "list", "elements": "str", "required": True},
                "key_algorithm": {"type": "str", "choices": list(crypto.ALGORITHMS), "default": "ecdsa-p256"},
                "ca_validity_days": {"type": "int", "default": 3650},
                "encrypted_resources": {"type": "list", "elements": "str", "default": ["secrets"]},
            }
        )
        if not crypto.HAS_CRYPTOGRAPHY:
            raise AnsibleActionFail("the Python library cryptography is needed where ansible-playbook runs")
        held, unreachable = self._gather(arguments["hosts"], task_vars or {})
        try:
            decision = decide(
                held, unreachable, arguments["cluster_name"], arguments["create_consent"], crypto.normalise
            )
            values = dict(decision.values)
            now = datetime.now(timezone.utc)
            for item in decision.generate:
                self._generate(item, values, arguments, now)
            for item in decision.derive:
                self._derive(item, values, arguments, now)
            _refuse_strangers(values)
        except IdentityRefused as error:
            raise AnsibleActionFail(f"cluster '{arguments['cluster_name']}': {error}") from None
        result["warnings"] = _warnings(values, arguments["encrypted_resources"], now)
        # Failures above stay readable; a success carries keys and is never shown.
        result.update(
            changed=False, identity=values, made=[item.name for item in decision.generate], _ansible_no_log=True
        )
        return result

    @staticmethod
    def _gather(hosts: list[str], task_vars: dict[str, Any]) -> tuple[dict[str, Held], list[str]]:
        held: dict[str, Held] = {}
        unreachable: list[str] = []
        for host in hosts:
            seen = task_vars["hostvars"][host].get("__identity_held") if host in task_vars["hostvars"] else None
            if not seen or "files" not in seen:
                unreachable.append(host)
                continue
            held[host] = Held(
                parts=tuple(seen["parts"]),
                files=dict(seen["files"]),
                signs=tuple(seen["signs"]),
                unreadable=dict(seen["unreadable"]),
            )
        return held, unreachable

    def _generate(self, item: Item, values: dict[str, str], arguments: dict[str, Any], now: datetime) -> None:
        if item.name == "encryption":
            values[item.secret] = crypto.encryption_configuration(arguments["encrypted_resources"])
            return
        values[item.secret] = crypto.generate_key(arguments["key_algorithm"])
        self._derive(item, values, arguments, now)

    @staticmethod
    def _derive(item: Item, values: dict[str, str], arguments: dict[str, Any], now: datetime) -> None:
        """Make the public half. A lost CA certificate can be made anew from its key: what it signed stays valid."""
        if item.public is None:
            return
        if item.common_name:
            values[item.public] = crypto.authority_certificate(
                values[item.secret], item.common_name, arguments["ca_validity_days"], now
            )
        else:
            values[item.public] = crypto.public_key(values[item.secret])


def _refuse_strangers(values: dict[str, str]) -> None:
    checks = (
        ("kubernetes_ca", crypto.is_pair, ".crt"),
        ("front_proxy_ca", crypto.is_pair, ".crt"),
        ("etcd_ca", crypto.is_pair, ".crt"),
        ("service_account", crypto.is_public_key_of, ".pub"),
    )
    for name, fits, suffix in checks:
        if f"{name}.key" not in values or name + suffix not in values:
            continue
        try:
            pair = fits(values[name + suffix], values[f"{name}.key"])
        except (ValueError, TypeError):
            raise IdentityRefused(f"{name}: the key or its public half cannot be read; is it damaged?") from None
        if not pair:
            raise IdentityRefused(f"{name}: the key and its public half, which the hosts hold, do not belong together")


def _warnings(values: dict[str, str], wanted_resources: list[str], now: datetime) -> list[str]:
    found = []
    for value in ("kubernetes_ca.crt", "front_proxy_ca.crt", "etcd_ca.crt"):
        if value in values and crypto.not_after(values[value]) - now < EXPIRES_SOON:
            found.append(f"the authority {value} expires on {crypto.not_after(values[value]):%Y-%m-%d}")
    if "encryption" in values:
        covered = crypto.encrypted_resources(values["encryption"])
        if sorted(covered) != sorted(wanted_resources):
            found.append(
                f"identity_encrypted_resources is {wanted_resources}, but the cluster encrypts {covered}; the "
                "playbook rotate_keys changes that, this role never does"
            )
    return found
