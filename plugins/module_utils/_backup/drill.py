# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore drill looks at, as predicates: facts in, a sentence out. Pure.

A drill takes the newest backup of a store and restores it into a throw-away etcd (`drill_run`). Each step is one of the
checks below. A check that depends on one that did not pass is skipped, so that the first failure is the cause.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .manifest import SnapshotManifest
from .metrics import Metrics
from .names import (
    MANIFEST,
    IdentityName,
    SnapshotName,
    format_time,
    parse_identity,
    parse_snapshot,
    parse_time,
)

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
FORMAT = 1

# Each check with those it needs, in the order in which they are made.
CHECKS: dict[str, tuple[str, ...]] = {
    "store": (),
    "backup": ("store",),
    "age": ("backup",),
    "stray": ("store",),
    "manifest": ("backup",),
    "version": ("manifest",),
    "object": ("manifest",),
    "opens": ("object",),
    "snapshot": ("opens",),
    "bundle": ("manifest",),
    "restored": ("snapshot", "version"),
    "counts": ("restored",),
    "secrets": ("restored", "bundle"),
    "authorities": ("restored", "bundle"),
    "settings": ("restored", "bundle"),
    "api_server": ("secrets", "authorities"),
}

METRICS = {
    "caravan_etcd_drill_success": ("gauge", "Whether the last drill of the store passed (1) or failed (0)."),
    "caravan_etcd_drill_timestamp_seconds": ("gauge", "When the last drill of the store ended."),
    "caravan_etcd_drill_duration_seconds": ("gauge", "How long the last drill of the store took."),
    "caravan_etcd_drill_backup_timestamp_seconds": ("gauge", "When the backup was taken that was drilled; 0: none."),
    "caravan_etcd_drill_failed_checks": ("gauge", "How many checks of the last drill failed."),
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `text` is a sentence about what was seen, and, where it failed, was wanted."""

    name: str
    state: str
    text: str


@dataclass
class StoreReport:
    """The drill of one store. `seconds` by check; `counts` as restored; `encrypted` values by the name of their key."""

    store: str
    checks: list[Check] = field(default_factory=list)
    backup: str = ""
    time: str = ""
    revision: int = 0
    etcd_version: str = ""
    age_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    encrypted: dict[str, int] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Passed when nothing failed, and something was looked at."""
        return PASSED if self.checks and not self.failures else FAILED

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.state == FAILED]


@dataclass(frozen=True)
class Choice:
    """What a store lists of a cluster: the newest backup, objects without a manifest, and identity bundles."""

    newest: SnapshotName | None
    strays: tuple[SnapshotName, ...]
    bundles: tuple[IdentityName, ...]


def passed(name: str, text: str) -> Check:
    return Check(name, PASSED, text)


def failed(name: str, text: str) -> Check:
    return Check(name, FAILED, text)


def blocked(name: str, checks: Iterable[Check]) -> Check | None:
    """Return the check as skipped when one that it needs has not passed."""
    states = {check.name: check.state for check in checks}
    missing = [need for need in CHECKS[name] if states.get(need) != PASSED]
    return Check(name, SKIPPED, f"not reached, because of: {', '.join(missing)}") if missing else None


def choose(keys: Iterable[str], wanted: str = "") -> Choice:
    """Sort what a store lists. `wanted` is the short name of a backup, in place of the newest one."""
    known = set(keys)
    snapshots = sorted({name for name in map(parse_snapshot, known) if name is not None})
    verified = [name for name in snapshots if name.manifest_key in known and name.short.startswith(wanted)]
    strays = tuple(name for name in snapshots if name.key in known and name.manifest_key not in known)
    bundles = {
        name for name in map(parse_identity, (key for key in known if not key.endswith(MANIFEST))) if name is not None
    }
    return Choice(verified[-1] if verified else None, strays, tuple(sorted(bundles)))


def check_backup(choice: Choice, cluster: str, wanted: str = "") -> Check:
    """There has to be a backup."""
    if choice.newest is not None:
        return passed("backup", f"the {'backup' if wanted else 'newest backup'} is {choice.newest.short}")
    what = f"no backup {wanted}" if wanted else "no backup at all"
    without = f"; {len(choice.strays)} snapshots there have no manifest, so they were never verified"
    return failed("backup", f"there is {what} of the cluster {cluster}{without if choice.strays else ''}")


def check_age(name: SnapshotName, now: datetime.datetime, limit: datetime.timedelta) -> Check:
    """The newest backup must not be too old, nor of the future."""
    age = now - name.time
    if age > limit:
        return failed("age", f"the newest backup is {_span(age)} old, wanted at most {_span(limit)}")
    if age < -datetime.timedelta(minutes=5):
        return failed("age", f"the newest backup is from {_span(-age)} in the future: a clock is wrong")
    return passed("age", f"it is {_span(max(age, datetime.timedelta()))} old")


def check_stray(choice: Choice, now: datetime.datetime, grace: datetime.timedelta) -> Check:
    """An object without a manifest is an upload that never came to its end.

    It matters where nothing newer was verified: then it would have been the newest backup. `grace` is the time an
    upload may take.
    """
    missed = [
        name for name in choice.strays if now - name.time > grace and (choice.newest is None or name > choice.newest)
    ]
    if missed:
        names = ", ".join(name.short for name in missed)
        return failed("stray", f"the manifest is missing of {names}, newer than the newest verified backup")
    if choice.strays:
        return passed("stray", f"{len(choice.strays)} snapshots without a manifest, none of which would be the newest")
    return passed("stray", "every snapshot has its manifest")


def check_manifest(manifest: SnapshotManifest, name: SnapshotName, cluster: str) -> Check:
    """The manifest has to be that of this backup, and of this cluster."""
    if manifest.cluster != cluster or name.cluster != cluster:
        seen = manifest.cluster if manifest.cluster != cluster else name.cluster
        return failed("manifest", f"it is a backup of the cluster {seen}, wanted {cluster}")
    seen_in = {
        "revision": (manifest.revision, name.revision),
        "etcd version": (manifest.etcd_version, name.etcd_version),
        "member": (manifest.member, name.member),
    }
    wrong = [f"{what} {said}, named {named}" for what, (said, named) in seen_in.items() if said != named]
    if wrong:
        return failed("manifest", f"the manifest and the object's name differ: {'; '.join(wrong)}")
    return passed("manifest", f"taken by {manifest.member} at revision {manifest.revision}")


def check_version(backup: str, installed: str) -> Check:
    """A newer etcd may write what an older one cannot read; patch releases do not differ in that."""
    if _minor(backup) > _minor(installed):
        return failed("version", f"it was made by etcd {backup}, newer than {installed}, which is installed here")
    return passed("version", f"made by etcd {backup}, read by {installed}")


def check_object(manifest: SnapshotManifest, size: int, sha256: str) -> Check:
    """The object has to be, bit for bit, what was verified."""
    if size == 0:
        return failed("object", f"the object is empty, wanted {manifest.bytes} bytes")
    if size != manifest.bytes:
        word = "truncated" if size < manifest.bytes else "too long"
        return failed("object", f"the object is {word}: {size} bytes, wanted {manifest.bytes}")
    if sha256 != manifest.sha256:
        return failed(
            "object", f"the object is not what was uploaded: SHA-256 {sha256[:16]}…, wanted {manifest.sha256[:16]}…"
        )
    return passed("object", f"{size} bytes, with the checksum that was verified")


def check_snapshot(manifest: SnapshotManifest, revision: int, hash_: int, keys: int, db_bytes: int) -> Check:
    """What etcdutl says of it now has to be what it said when it was taken."""
    facts = {
        "revision": (revision, manifest.revision),
        "hash": (hash_, manifest.hash),
        "number of keys": (keys, manifest.keys),
        "size": (db_bytes, manifest.db_bytes),
    }
    wrong = [f"{what} {seen}, wanted {wanted}" for what, (seen, wanted) in facts.items() if seen != wanted]
    if wrong:
        return failed("snapshot", f"the snapshot is not the one of its manifest: {'; '.join(wrong)}")
    return passed("snapshot", f"revision {revision}, hash {hash_:08x}, {keys} keys, {db_bytes} bytes")


def check_restored(revision: int, wanted: int) -> Check:
    """A throw-away etcd serves it, at the revision of the backup."""
    if revision != wanted:
        return failed("restored", f"the restored etcd is at revision {revision}, wanted {wanted}")
    return passed("restored", f"a throw-away etcd serves it at revision {revision}")


def check_counts(restored: Mapping[str, int], live: Mapping[str, int]) -> Check:
    """As many keys of each resource as the live cluster had at that revision."""
    wrong = [
        f"{restored.get(resource, 0)} {resource}, wanted {live.get(resource, 0)}"
        for resource in sorted({*restored, *live})
        if restored.get(resource, 0) != live.get(resource, 0)
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        return failed("counts", f"other numbers than in the live cluster: {'; '.join(wrong[:5])}{more}")
    return passed("counts", f"{sum(live.values())} objects of {len(live)} resources, as in the live cluster")


def check_secrets(encrypted: Mapping[str, int], secrets: int, unread: int, reason: str) -> Check:
    """Every value of the snapshot can be read.

    `encrypted`: values that opened, by key's name. `secrets`: Secrets. `unread`: values that could not be read, the
    first of them because of `reason`.
    """
    if unread:
        return failed("secrets", reason + (f", and {unread - 1} more" if unread > 1 else ""))
    total = sum(encrypted.values())
    under = ", ".join(f"{number} under {name}" for name, number in sorted(encrypted.items()))
    how = f"{total} encrypted values open ({under})" if total else "none is encrypted"
    return passed("secrets", f"{secrets} Secrets; {how}")


def check_authorities(certificates: Mapping[str, tuple[frozenset[bytes], frozenset[bytes]]]) -> Check:
    """The bundle's authorities are those the cluster's objects name.

    `certificates`: by title, (DER in the snapshot, DER in the bundle). While an authority is being replaced, one side
    may already have two: one that both have is enough.
    """
    wrong = [title for title, (seen, wanted) in sorted(certificates.items()) if seen and not seen & wanted]
    unknown = [title for title, (seen, _wanted) in sorted(certificates.items()) if not seen]
    if wrong:
        return failed("authorities", f"the identity bundle is of another cluster: not its {' and '.join(wrong)}")
    if unknown:
        return failed("authorities", f"the snapshot does not say what the cluster's {' and '.join(unknown)} is")
    return passed("authorities", f"{' and '.join(sorted(certificates))} are the cluster's")


def check_settings(seen: Mapping[str, str], wanted: Mapping[str, str]) -> Check:
    """Name, endpoint and networks in the snapshot are those of the bundle, as far as both say them."""
    if not seen.get("cluster"):
        return failed("settings", "the snapshot does not say of which cluster it is (ConfigMap kubeadm-config)")
    both = {what: (seen[what], wanted[what]) for what in sorted({*seen} & {*wanted})}
    if "endpoint" in both:
        # With its port or without.
        both["endpoint"] = (both["endpoint"][0].split(":")[0], both["endpoint"][1].split(":")[0])
    wrong = [f"{what} {said}, wanted {ours}" for what, (said, ours) in both.items() if said != ours]
    if wrong:
        return failed("settings", f"the snapshot is not this cluster's: {'; '.join(wrong)}")
    return passed("settings", f"the snapshot is of the cluster {seen['cluster']}")


def check_api_server(read: int, wanted: int, account: str) -> Check:
    """An API server with the bundle's keys reads every Secret, and knows the service accounts whose tokens it signs."""
    if read != wanted:
        return failed("api_server", f"an API server reads {read} Secrets, wanted {wanted}")
    if not account.startswith("system:serviceaccount:"):
        return failed("api_server", f"an API server takes the bearer of a service account's token for {account}")
    return passed("api_server", f"an API server reads {read} Secrets, and signs tokens with the service-account key")


def document(cluster: str, host: str, started: datetime.datetime, stores: Sequence[StoreReport]) -> dict[str, Any]:
    """Return the report as JSON has it; docs/drills.md describes it."""
    return {
        "format": FORMAT,
        "cluster": cluster,
        "host": host,
        "started": format_time(started),
        "verdict": verdict_of(stores),
        "stores": [{**asdict(store), "verdict": store.verdict} for store in stores],
    }


def verdict_of(stores: Sequence[StoreReport]) -> str:
    return PASSED if stores and all(store.verdict == PASSED for store in stores) else FAILED


def text(report: Mapping[str, Any]) -> str:
    """Return the report for people: a line for each store, and one for each check. Pure."""
    lines = []
    for store in report["stores"]:
        seconds = sum(store["seconds"].values())
        lines.append(f"{store['store']}: {store['verdict']}, {store['backup'] or 'no backup'}, {seconds:.1f} s")
        lines += [f"  {check['state']:<8} {check['name']:<12} {check['text']}" for check in store["checks"]]
    return "\n".join(lines)


def summary(report: Mapping[str, Any]) -> list[str]:
    """Return the verdict in short: a line for each store, and one for each check that failed. Pure."""
    lines = []
    for store in report.get("stores", []):
        seconds = sum(store["seconds"].values())
        lines.append(f"{store['store']}: {store['verdict']}, {store['backup'] or 'no backup'}, {seconds:.1f} s")
        lines += [f"  {check['name']}: {check['text']}" for check in store["checks"] if check["state"] == FAILED]
    return lines or ["no drill has been made yet"]


def measure(samples: Metrics, report: Mapping[str, Any], finished: datetime.datetime) -> None:
    """Put the verdicts of a report among the samples of METRICS."""
    for store in report["stores"]:
        moment = parse_time(store["time"]).timestamp() if store["time"] else 0.0
        values = {
            "caravan_etcd_drill_success": float(store["verdict"] == PASSED),
            "caravan_etcd_drill_timestamp_seconds": finished.timestamp(),
            "caravan_etcd_drill_duration_seconds": sum(store["seconds"].values()),
            "caravan_etcd_drill_backup_timestamp_seconds": moment,
            "caravan_etcd_drill_failed_checks": sum(check["state"] == FAILED for check in store["checks"]),
        }
        for name, value in values.items():
            samples.put(name, value, cluster=report["cluster"], store=store["store"])


def _minor(version: str) -> tuple[int, int]:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _span(span: datetime.timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{seconds} s"
