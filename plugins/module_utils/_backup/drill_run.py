# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore drill: fetch, open, restore, read. What is seen is judged by the predicates of `drill`."""

from __future__ import annotations

import contextlib
import datetime
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import drill, drill_api, drill_bundle, drill_etcd, memory, registry, seal, secretbox
from .errors import BackupError
from .etcd import Etcd, status_of
from .identity import Bundle, digest, unpack
from .manifest import IdentityManifest, SnapshotManifest, load
from .names import MANIFEST, IdentityName, SnapshotName, format_time
from .stores import Store

_ROOT_CA = "/registry/configmaps/kube-system/kube-root-ca.crt"
_AUTHENTICATION = "/registry/configmaps/kube-system/extension-apiserver-authentication"
_KUBEADM = "/registry/configmaps/kube-system/kubeadm-config"
# Where a bundle does not say it: Kubernetes' own.
_SERVICE_CIDR = "10.96.0.0/12"


@dataclass(frozen=True)
class Settings:
    """`work`: a directory in memory. `max_age`: of the newest backup. `grace`: what an upload may take.

    `timeout`: seconds for each step. `api_server`: whether an API server is started as well. `backup`: the short name
    of one backup, in place of the newest.
    """

    cluster: str
    identity_file: str
    work: str
    max_age: datetime.timedelta
    grace: datetime.timedelta
    timeout: float = 600
    api_server: bool = False
    backup: str = ""


def run(settings: Settings, store: Store) -> drill.StoreReport:
    """Drill one store. What is found wrong is in the report; BackupError when a drill cannot be made here at all."""
    with memory.workspace(Path(settings.work)) as directory, contextlib.ExitStack() as stack:
        return _Drill(settings, store, directory, stack).run()


class _Drill:
    """The steps, named as the checks are. Each one returns its check, or raises BackupError with why it failed."""

    def __init__(self, settings: Settings, store: Store, directory: Path, stack: contextlib.ExitStack) -> None:
        self.settings = settings
        self.store = store
        self.directory = directory
        self.stack = stack
        self.report = drill.StoreReport(store.name)
        self.now = datetime.datetime.now(datetime.timezone.utc)
        self.bundles: dict[str, Bundle] = {}
        self.maps: dict[str, dict[str, str]] = {}
        # Known once the check before has passed.
        self.choice: drill.Choice
        self.name: SnapshotName
        self.manifest: SnapshotManifest
        self.etcd: Etcd

    def run(self) -> drill.StoreReport:
        for name in drill.CHECKS:
            if name == "api_server" and not self.settings.api_server:
                continue
            started = time.monotonic()
            self.report.checks.append(drill.blocked(name, self.report.checks) or self._check(name))
            self.report.seconds[name] = round(time.monotonic() - started, 3)
        return self.report

    def _check(self, name: str) -> drill.Check:
        try:
            check: drill.Check = getattr(self, f"_{name}")()
        except (BackupError, OSError) as error:
            return drill.failed(name, str(error))
        return check

    def _store(self) -> drill.Check:
        entries = self.store.list(self.settings.cluster)
        self.choice = drill.choose((entry.key for entry in entries), self.settings.backup)
        self.report.strays = [name.short for name in self.choice.strays]
        return drill.passed("store", f"{len(entries)} objects are listed")

    def _backup(self) -> drill.Check:
        if self.choice.newest is not None:
            self.name = self.choice.newest
            self.report.backup = self.name.short
            self.report.time = format_time(self.name.time)
            self.report.age_seconds = (self.now - self.name.time).total_seconds()
        return drill.check_backup(self.choice, self.settings.cluster, self.settings.backup)

    def _age(self) -> drill.Check:
        if self.settings.backup:
            return drill.Check("age", drill.SKIPPED, "this backup was asked for by name")
        return drill.check_age(self.name, self.now, self.settings.max_age)

    def _stray(self) -> drill.Check:
        return drill.check_stray(self.choice, self.now, self.settings.grace)

    def _manifest(self) -> drill.Check:
        manifest = load(SnapshotManifest, self.store.read(self.name.manifest_key), self.name.key)
        self.manifest = manifest
        self.report.revision, self.report.etcd_version = manifest.revision, manifest.etcd_version
        return drill.check_manifest(manifest, self.name, self.settings.cluster)

    def _version(self) -> drill.Check:
        return drill.check_version(self.manifest.etcd_version, drill_etcd.installed_version(self.settings.timeout))

    def _object(self) -> drill.Check:
        sealed = self.directory / "sealed"
        self.store.get(self.name.key, str(sealed))
        return drill.check_object(self.manifest, sealed.stat().st_size, seal.sha256_of(str(sealed)))

    def _opens(self) -> drill.Check:
        sealed = self.directory / "sealed"
        seal.unseal(str(sealed), str(self.directory / "snapshot"), self.settings.identity_file, self.settings.timeout)
        # All of this is memory.
        sealed.unlink()
        return drill.passed("opens", "the age identity opens it")

    def _snapshot(self) -> drill.Check:
        status = status_of(str(self.directory / "snapshot"), self.settings.timeout)
        return drill.check_snapshot(self.manifest, status.revision, status.hash, status.keys, status.db_bytes)

    def _bundle(self) -> drill.Check:
        names = drill_bundle.wanted_names(self.manifest, self.name, self.choice.bundles)
        bundles = {part: self._read_bundle(name) for part, name in names.items()}
        drill_bundle.check_whole(bundles, self.settings.cluster, drill_bundle.public_half)
        self.bundles = bundles
        times = ", ".join(f"{part} of {format_time(name.time)}" for part, name in sorted(names.items()))
        return drill.passed("bundle", f"the identity bundle is whole: {times}")

    def _read_bundle(self, name: IdentityName) -> Bundle:
        manifest = load(IdentityManifest, self.store.read(name.key + MANIFEST), name.key)
        sealed = self.store.read(name.key)
        drill_bundle.check_object(manifest, name, sealed)
        try:
            bundle = unpack(seal.decrypt(sealed, self.settings.identity_file, self.settings.timeout))
        except BackupError as error:
            raise BackupError(f"the identity bundle {name.key}: {error}") from error
        drill_bundle.check_digest(manifest, digest(bundle))
        return bundle

    def _restored(self) -> drill.Check:
        snapshot = self.directory / "snapshot"
        data = drill_etcd.restore(snapshot, self.directory, self.settings.timeout)
        snapshot.unlink()
        self.etcd = self.stack.enter_context(drill_etcd.serving(data, self.directory, self.settings.timeout))
        return drill.check_restored(self.etcd.revision(), self.manifest.revision)

    def _counts(self) -> drill.Check:
        # At the revision of the backup: what has a time to live may expire in the meantime.
        self.report.counts = self.etcd.counts(self.manifest.revision)
        return drill.check_counts(self.report.counts, self.manifest.counts)

    def _secrets(self) -> drill.Check:
        keys = secretbox.keys_of(self.bundles["control_plane"].files[drill_bundle.ENCRYPTION].decode())
        encrypted: dict[str, int] = {}
        unread, reason = 0, ""
        for key, value in self.etcd.walk(self.manifest.revision):
            try:
                if secretbox.is_encrypted(value):
                    name = secretbox.key_name(value)
                    value = secretbox.open_value(key, value, keys)
                    encrypted[name] = encrypted.get(name, 0) + 1
                    if not registry.is_object(value):
                        raise BackupError(f"{key} opens, but there is no object in it")
                if key in (_ROOT_CA, _AUTHENTICATION, _KUBEADM):
                    self.maps[key] = registry.config_map_data(value)
            except BackupError as error:
                unread += 1
                reason = reason or str(error)
        self.report.encrypted = dict(sorted(encrypted.items()))
        return drill.check_secrets(encrypted, self.report.counts.get("/registry/secrets", 0), unread, reason)

    def _authorities(self) -> drill.Check:
        files = self.bundles["control_plane"].files
        authentication = self.maps.get(_AUTHENTICATION, {})
        of_kubernetes = self.maps.get(_ROOT_CA, {}).get("ca.crt") or authentication.get("client-ca-file", "")
        of_front_proxy = authentication.get("requestheader-client-ca-file", "")
        return drill.check_authorities(
            {
                title: (drill_bundle.certificates(seen), drill_bundle.certificates(files[path].decode()))
                for title, seen, path in (
                    ("CA of Kubernetes", of_kubernetes, drill_bundle.KUBERNETES_CA),
                    ("CA of the front proxy", of_front_proxy, drill_bundle.FRONT_PROXY_CA),
                )
            }
        )

    def _settings(self) -> drill.Check:
        seen = registry.cluster_settings(self.maps.get(_KUBEADM, {}).get("ClusterConfiguration", ""))
        wanted: dict[str, Any] = {**self.bundles["control_plane"].settings, "cluster": self.settings.cluster}
        return drill.check_settings(seen, wanted)

    def _api_server(self) -> drill.Check:
        bundle = self.bundles["control_plane"]
        api = self.stack.enter_context(
            drill_api.serving(
                self.etcd,
                bundle.files,
                bundle.settings.get("service_cidr") or _SERVICE_CIDR,
                self.directory,
                self.settings.timeout,
            )
        )
        return drill.check_api_server(api.secrets(), self.report.counts.get("/registry/secrets", 0), api.account())
