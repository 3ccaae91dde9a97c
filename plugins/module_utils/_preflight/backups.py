# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether backups, which are taken unless they are turned off, have stores and keys that can be meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .._backup import seal
from .._backup.errors import BackupError
from .problem import Problem
from .spec import shown

STORES = "etcd_backup_stores"
RECIPIENTS = "etcd_backup_recipients"
ENABLED = "etcd_backup_enabled"
INTERVAL = "etcd_backup_interval"
TAKEOVER = "etcd_backup_takeover"
READ = (ENABLED, STORES, RECIPIENTS, INTERVAL, TAKEOVER)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check(members: Sequence[str], others: Sequence[str], values: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """`members`: the hosts of the group etcd; `others`: those that are in control_plane only; values by host."""
    for host in (*members, *others):
        own = values.get(host, {})
        if not own.get(ENABLED):
            continue
        yield from check_stores(host, as_list(own.get(STORES)))
        yield from check_recipients(host, as_list(own.get(RECIPIENTS)))
        if host in members:
            yield from check_turns(host, len(members), own)


def check_stores(host: str, stores: Sequence[Any]) -> Iterator[Problem]:
    if not stores:
        wanted = f"at least one S3 store, or {ENABLED}: false to go without backups"
        yield Problem(host, f"backups are enabled and {STORES} is empty", wanted, f"{STORES} or {ENABLED}")
    names: set[str] = set()
    for number, store in enumerate(stores):
        if not isinstance(store, Mapping):
            continue
        name = str(store.get("name") or "")
        place = f"{STORES}[{number}]"
        if not NAME.fullmatch(name):
            wanted = "lower-case letters, digits, - and _"
            yield Problem(host, f"{place}.name is {shown(name)}", wanted, f"{place}.name")
        elif name in names:
            yield Problem(host, f"two stores are called {shown(name)}", "a name of its own for each", f"{place}.name")
        names.add(name)
        bucket = str(store.get("bucket") or "")
        if not BUCKET.fullmatch(bucket):
            wanted = "the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens"
            yield Problem(host, f"{place}.bucket is {shown(bucket)}", wanted, f"{place}.bucket")
        yield from check_endpoint(host, place, store)
        if store.get("access_key") and not store.get("secret_key"):
            wanted = "the secret to its access_key"
            yield Problem(host, f"{place}.secret_key is empty", wanted, f"{place}.secret_key")
        if store.get("ca") and "-----BEGIN CERTIFICATE-----" not in str(store["ca"]):
            wanted = "the certificate itself, as PEM"
            yield Problem(host, f"{place}.ca holds no certificate", wanted, f"{place}.ca")


def check_endpoint(host: str, place: str, store: Mapping[str, Any]) -> Iterator[Problem]:
    endpoint = str(store.get("endpoint") or "")
    if not endpoint and str(store.get("provider") or "Other") == "Other":
        wanted = "the address of the store, https://..., or a provider that has one"
        yield Problem(host, f"{place}.endpoint is empty", wanted, f"{place}.endpoint")
    elif endpoint:
        try:
            parts = urlsplit(endpoint)
            good = parts.scheme == "https" and bool(parts.hostname)
        except ValueError:
            good = False
        if not good:
            wanted = "an address that begins with https://"
            yield Problem(host, f"{place}.endpoint is {shown(endpoint)}", wanted, f"{place}.endpoint")


def check_recipients(host: str, recipients: Sequence[Any]) -> Iterator[Problem]:
    if not recipients:
        wanted = f"at least one public key of age (age-keygen makes a pair), or {ENABLED}: false to go without backups"
        yield Problem(host, f"backups are enabled and {RECIPIENTS} is empty", wanted, f"{RECIPIENTS} or {ENABLED}")
    for number, recipient in enumerate(recipients):
        place = f"{RECIPIENTS}[{number}]"
        if str(recipient).upper().startswith("AGE-SECRET-KEY-"):
            wanted = "its public key (age-keygen -y says it): nodes must not be able to open backups"
            yield Problem(host, f"{place} is a private key", wanted, place)
            continue
        try:
            seal.check_recipients([str(recipient)])
        except BackupError:
            yield Problem(host, f"{place} is {shown(recipient)}", "a public key of age, age1...", place)


def check_turns(host: str, members: int, own: Mapping[str, Any]) -> Iterator[Problem]:
    """All members have their turn before the next interval begins."""
    interval, takeover = str(own.get(INTERVAL) or ""), own.get(TAKEOVER)
    found = re.fullmatch(r"(\d+)(min|h)", interval)
    if found is None or not isinstance(takeover, int):
        return
    seconds = int(found[1]) * (60 if found[2] == "min" else 3600)
    if takeover < 1 or takeover * members > seconds:
        seen = f"{TAKEOVER} is {takeover} with {members} members and backups every {interval}"
        yield Problem(host, seen, f"from 1 to {seconds // members}", f"{TAKEOVER} or {INTERVAL}")


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
