# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is restored, and onto which machine. Pure.

Where a restore stands is what is seen on the hosts: the data, and a record beside it, /etc/caravan/restore.json on the
host that etcd is restored on. Its `step` is `begun` (a living cluster is about to be stopped), `aside` (its data is
moved aside), `placing` (the data is about to be moved into its place), `restored` (it is there), `scrubbed` (what
belonged to machines that are gone is deleted) or `done`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import BackupError
from .names import MANIFEST, SnapshotName, format_time, parse_snapshot, parse_time

LATEST = "latest"
SURVIVOR = "survivor"
CONSENT = "restore_consent"

BEGUN, ASIDE, PLACING, RESTORED, SCRUBBED, DONE = "begun", "aside", "placing", "restored", "scrubbed", "done"
# What is seen of data that is there and cannot be read.
UNREADABLE = "0"

NEW, IN_PLACE, RESUME = "new", "in_place", "resume"


def backups(keys: Iterable[str], cluster: str) -> list[SnapshotName]:
    """Return the backups among a store's keys, oldest first: only what has a manifest is one."""
    listed = set(keys)
    found = (parse_snapshot(key) for key in listed if not key.endswith(MANIFEST))
    return sorted(name for name in found if name and name.cluster == cluster and name.manifest_key in listed)


def select(stores: Mapping[str, Sequence[SnapshotName]], wanted: str, cluster: str) -> tuple[SnapshotName, list[str]]:
    """Return the backup that is meant, and the stores that hold it. BackupError when none does.

    `wanted` is `latest`, the name of a backup (as it is listed, or its key), or a time: the newest backup that is not
    younger. A time is ISO 8601, with a zone (without one it is UTC), or as names of backups begin.
    """
    names = sorted({name for found in stores.values() for name in found})
    if not names:
        raise BackupError(f"there is no backup of the cluster {cluster} in the store {', '.join(stores)}")
    if wanted == LATEST:
        chosen = names[-1]
    else:
        named = [name for name in names if wanted in (name.short, name.key, name.key.split("/")[-1])]
        chosen = named[-1] if named else _until(names, wanted)
    return chosen, [store for store, found in stores.items() if chosen in found]


def _until(names: Sequence[SnapshotName], wanted: str) -> SnapshotName:
    moment = moment_of(wanted)
    if moment is None:
        newest = ", ".join(name.short for name in names[-3:])
        raise BackupError(
            f"'{wanted}' is neither {LATEST}, nor a time, nor the name of a backup that is there. The newest: {newest}"
        )
    before = [name for name in names if name.time <= moment]
    if not before:
        raise BackupError(f"no backup is as old as {wanted}: the oldest is {names[0].short}")
    return before[-1]


def moment_of(text: str) -> datetime.datetime | None:
    """Return the moment a text means, None when it is no time."""
    try:
        return parse_time(text)
    except ValueError:
        pass
    try:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)


def differences(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return what the inventory has other than the bundle, in words. Only what both say is compared."""
    return [
        f"{name} is {wanted[name]}, the backup's is {seen[name]}"
        for name in sorted(set(seen) & set(wanted))
        if str(wanted[name]) and str(seen[name]) and str(seen[name]) != str(wanted[name])
    ]


@dataclass(frozen=True)
class Plan:
    """`mode`: new machines, a cluster that is rolled back in its place, or the end of an interrupted restore.

    `host`: the one etcd is restored on. `aside`: hosts whose etcd data is moved aside first. `refusal`: why nothing
    may be done; empty when it may.
    """

    mode: str = NEW
    host: str = ""
    backup: str = ""
    aside: list[str] = field(default_factory=list)
    refusal: str = ""


def plan(
    hosts: Mapping[str, Mapping[str, Any]],
    etcd_hosts: Sequence[str],
    cluster: str,
    wanted: str,
    consent: str = "",
    survivor: str = "",
) -> Plan:
    """Decide over all hosts of the cluster that were reached.

    `hosts`: what `restore_info` saw, by host. `wanted`: what was asked for. `survivor`: the host that is restored from
    its own data, where there is more than one.
    """
    reached = sorted(host for host in etcd_hosts if host in hosts)
    strangers = sorted(
        f"{host} ({seen['cluster']})" for host, seen in hosts.items() if seen["cluster"] not in ("", cluster)
    )
    if strangers:
        return Plan(
            refusal=f"another cluster is on {', '.join(strangers)}. Give these machines to {cluster} by reset.yml"
        )
    if not reached:
        return Plan(refusal=f"no host of the group etcd was reached: {', '.join(etcd_hosts)}")
    unfinished = [host for host in reached if is_unfinished(hosts[host])]
    if len(unfinished) > 1:
        return Plan(refusal=f"two restores are unfinished, on {', '.join(unfinished)}. Clean one of them by reset.yml")
    if unfinished:
        record = hosts[unfinished[0]]["record"]
        if wanted in (LATEST, record["backup"], record["wanted"]):
            # One that was only announced has taken nothing away yet, and its consent is asked for again.
            if record.get("step") != BEGUN or consent == cluster:
                return _resume(hosts, reached, unfinished[0])
        elif consent != cluster:
            return Plan(
                refusal=f"{unfinished[0]} holds the unfinished restore of {record['backup']}. Run it to its end with "
                f"restore_from={record['backup']}, or set {CONSENT}={cluster} to begin another one in its place"
            )
    living = sorted(host for host, seen in hosts.items() if seen["data"] or seen["cluster"] or seen["control_plane"])
    if living and consent != cluster:
        said = f"{CONSENT} is '{consent}'" if consent else f"{CONSENT} is not set"
        return Plan(
            refusal=f"the cluster {cluster} lives on {', '.join(living)}; a restore puts older data in its place. "
            f"{said}, wanted {CONSENT}={cluster}"
        )
    aside = [host for host in reached if hosts[host]["data"]]
    if wanted == SURVIVOR:
        return _from_survivor({host: hosts[host]["data"][0] != UNREADABLE for host in aside}, survivor)
    if not living:
        return Plan(NEW, reached[0])
    # Where there was a member there still is its identity.
    return Plan(IN_PLACE, (aside or reached)[0], aside=aside)


def _resume(hosts: Mapping[str, Mapping[str, Any]], reached: Sequence[str], host: str) -> Plan:
    """Go on where it was cut off. Others may hold what is rolled back still, or, once they joined, the new data."""
    record = hosts[host]["record"]
    restored = list(record.get("ids", ()))[1:]
    aside = [name for name in reached if name != host and hosts[name]["data"] and hosts[name]["data"][1:] != restored]
    return Plan(RESUME, host, record["backup"], aside)


def _from_survivor(readable: Mapping[str, bool], survivor: str) -> Plan:
    """`readable`: hosts with data of etcd, and whether it can be read."""
    if not any(readable.values()):
        damaged = f" that can be read ({', '.join(readable)} holds what cannot)" if readable else ""
        return Plan(refusal=f"no host that was reached holds data of etcd{damaged}: restore a backup")
    holders = [host for host, well in readable.items() if well]
    if survivor and survivor not in holders:
        return Plan(refusal=f"restore_survivor is {survivor}, wanted a host with data of etcd: {', '.join(holders)}")
    if not survivor and len(holders) > 1:
        return Plan(
            refusal=f"{', '.join(holders)} hold data of etcd. Set restore_survivor to the one with the highest raft "
            "index (etcdctl endpoint status)"
        )
    return Plan(IN_PLACE, survivor or holders[0], SURVIVOR, list(readable))


def unfit(hosts: Mapping[str, Mapping[str, Any]], host: str, backup: Mapping[str, Any]) -> list[str]:
    """Return why a backup cannot be restored on these hosts, though it is whole.

    `backup`: its `db_bytes`, and by path the SHA-256 of the `public` files of its identity.
    """
    reasons = [
        f"{name} holds another identity than the backup ({', '.join(other)}), which is from before its authorities "
        "were rotated, or of a cluster that had this name before. Choose another backup (restore_from), or empty the "
        "machines by reset.yml to go back to this one"
        for name, seen in sorted(hosts.items())
        if (other := [path for path, print_ in sorted(seen["public"].items()) if backup["public"].get(path) != print_])
    ]
    memory, wanted = hosts[host]["memory"], backup["db_bytes"]
    if memory < wanted:
        reasons.append(
            f"{host} has {memory / 1e6:.0f} MB of memory available, wanted {wanted / 1e6:.0f} MB: in the clear the "
            "snapshot is only in memory. Give the machine more, or restore on another one of the group etcd"
        )
    return reasons


def is_unfinished(seen: Mapping[str, Any]) -> bool:
    """Whether a restore has begun on a host and was not seen to end."""
    record = seen["record"]
    return bool(record) and record.get("step") != DONE


def next_steps(record: Mapping[str, Any], data: Sequence[str] | None) -> list[str]:
    """Return the steps that are left on the host: `place`, `start`, `scrub`. `data`: IDs of the data that is there.

    The IDs of the restored data were recorded before it was moved into its place.
    """
    if record.get("step") == PLACING and list(record.get("ids", ())) == list(data or ()):
        return ["start", "scrub"]
    if record.get("step") == RESTORED and data:
        return ["start", "scrub"]
    if record.get("step") in (SCRUBBED, DONE) and data:
        return []
    return ["place", "start", "scrub"]


def title(name: SnapshotName) -> str:
    """Return what is said of a backup in messages."""
    return f"{name.short} ({format_time(name.time)}, revision {name.revision})"
