# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup to drill with: a real etcd with what an API server would keep in it, snapshotted, sealed and stored."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._backup import (
    drill_api,
    drill_bundle,
    drill_etcd,
    identity,
    manifest,
    names,
    seal,
    stores,
)
from ansible_collections.caravan.cluster.plugins.module_utils._backup.drill_api import Api
from ansible_collections.caravan.cluster.plugins.module_utils._backup.etcd import Etcd, status_of
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from nacl.secret import SecretBox
from object_store_server import Keys, ObjectStore

REPOSITORY = Path(__file__).resolve().parents[3]
CLUSTER = "harbour"
ETCD = "3.6.8"
KUBERNETES = "1.36.3"
UTC = datetime.timezone.utc
KEY1, KEY2 = bytes(range(32)), bytes(range(1, 33))


@dataclasses.dataclass(frozen=True)
class Key:
    """An age key: the file with the private half, and the public one."""

    file: Path
    recipient: str


def new_key(path: Path) -> Key:
    subprocess.run(["age-keygen", "--output", str(path)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True)
    return Key(path, public.stdout.strip())


def encrypted(value: bytes, key: bytes = KEY1, name: str = "key1") -> bytes:
    return b"k8s:enc:secretbox:v1:" + name.encode() + b":" + bytes(SecretBox(key).encrypt(value))


def field(number: int, value: bytes) -> bytes:
    """A field of a Protobuf message; short ones only."""
    size = len(value)
    length = b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def config_map(name: str, **data: str) -> bytes:
    """A ConfigMap as an API server writes it."""
    entries = b"".join(
        field(2, field(1, key.replace("_", "-").encode()) + field(2, text.encode())) for key, text in data.items()
    )
    kind = field(1, b"v1") + field(2, b"ConfigMap")
    return b"k8s\x00" + field(1, kind) + field(2, field(1, field(1, name.encode())) + entries)


class Identity:
    """What makes a cluster that cluster."""

    def __init__(self, cluster: str = CLUSTER, keys: dict[str, bytes] | None = None) -> None:
        self.cluster = cluster
        self.files = {"control_plane": self._control_plane(keys or {"key1": KEY1}), "etcd": dict[str, bytes]()}
        crt, key = self._authority("etcd-ca")
        self.files["etcd"] = {"/etc/etcd/pki/ca.crt": crt, "/etc/etcd/pki/ca.key": key}
        self.files["control_plane"]["/etc/kubernetes/pki/etcd-ca.crt"] = crt

    def bundle(self, part: str) -> identity.Bundle:
        settings = {"cluster": self.cluster, "part": part, "pod_cidr": "10.244.0.0/16", "endpoint": "api.harbour"}
        return identity.Bundle(settings, dict(self.files[part]))

    def text(self, path: str) -> str:
        return self.files["control_plane"][path].decode()

    def set_keys(self, keys: dict[str, bytes]) -> None:
        self.files["control_plane"][drill_bundle.ENCRYPTION] = self._encryption(keys)

    def _control_plane(self, keys: dict[str, bytes]) -> dict[str, bytes]:
        pki = "/etc/kubernetes/pki"
        files = {drill_bundle.ENCRYPTION: self._encryption(keys)}
        for name in ("ca", "front-proxy-ca"):
            files[f"{pki}/{name}.crt"], files[f"{pki}/{name}.key"] = self._authority(name)
        account = crypto.generate_key("ecdsa-p256")
        files[f"{pki}/sa.key"], files[f"{pki}/sa.pub"] = account.encode(), crypto.public_key(account).encode()
        return files

    @staticmethod
    def _authority(name: str) -> tuple[bytes, bytes]:
        key = crypto.generate_key("ecdsa-p256")
        return crypto.authority_certificate(key, name, 10, datetime.datetime.now(UTC)).encode(), key.encode()

    @staticmethod
    def _encryption(keys: dict[str, bytes]) -> bytes:
        entries = [{"name": name, "secret": base64.b64encode(key).decode()} for name, key in keys.items()]
        providers: list[dict[str, Any]] = [{"secretbox": {"keys": entries}}, {"identity": {}}]
        document = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": providers}],
        }
        return yaml.safe_dump(document).encode()


def use(api: Api, owner: Identity) -> None:
    """What a cluster has that was made through an API server."""
    system = "/api/v1/namespaces/kube-system"
    configuration = yaml.safe_dump({"clusterName": owner.cluster})
    ca, front_proxy = owner.text(drill_bundle.KUBERNETES_CA), owner.text(drill_bundle.FRONT_PROXY_CA)
    maps = {
        "kube-root-ca.crt": {"ca.crt": ca},
        "extension-apiserver-authentication": {"client-ca-file": ca, "requestheader-client-ca-file": front_proxy},
        "kubeadm-config": {"ClusterConfiguration": configuration},
    }
    for name, data in maps.items():
        api.call("POST", f"{system}/configmaps", {"metadata": {"name": name}, "data": data})
    api.call("POST", f"{system}/serviceaccounts", {"metadata": {"name": "default"}})
    for number in range(20):
        secret = {"metadata": {"name": f"secret-{number}"}, "stringData": {"password": os.urandom(20).hex()}}
        api.call("POST", "/api/v1/namespaces/default/secrets", secret)


def fill(etcd: Etcd, owner: Identity, key: bytes = KEY1, key_name: str = "key1") -> None:
    """What an API server keeps in etcd: some pods, Secrets, and the objects that say whose cluster it is."""
    configuration = {
        "clusterName": owner.cluster,
        "controlPlaneEndpoint": "api.harbour:6443",
        "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/16"},
    }
    ca = owner.text(drill_bundle.KUBERNETES_CA)
    front_proxy = owner.text(drill_bundle.FRONT_PROXY_CA)
    maps = {
        "kube-root-ca.crt": config_map("kube-root-ca.crt", **{"ca.crt": ca}),
        "extension-apiserver-authentication": config_map(
            "extension-apiserver-authentication",
            **{"client-ca-file": ca, "requestheader-client-ca-file": front_proxy},
        ),
        "kubeadm-config": config_map("kubeadm-config", ClusterConfiguration=yaml.safe_dump(configuration)),
    }
    values = {f"/registry/configmaps/kube-system/{name}": value for name, value in maps.items()}
    values |= {f"/registry/pods/default/web-{number}": b"k8s\x00pod" for number in range(40)}
    values |= {
        f"/registry/secrets/default/secret-{number}": encrypted(b"k8s\x00" + os.urandom(200), key, key_name)
        for number in range(130)
    }
    values["/registry/acid.zalan.do/postgresqls/db/main"] = b'{"kind":"postgresql"}'
    for name, value in values.items():
        put(etcd, name, value)


def put(etcd: Etcd, key: str, value: bytes) -> None:
    etcd._call(
        "/v3/kv/put", {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode()}
    )


@dataclasses.dataclass
class Backup:
    """A backup as a member leaves it in a store: objects by key, in a directory."""

    directory: Path
    name: names.SnapshotName
    files: dict[str, Path]

    @property
    def key(self) -> str:
        return self.name.key

    def manifest(self) -> dict[str, Any]:
        return dict(json.loads(self.files[self.name.manifest_key].read_text()))

    def change_manifest(self, **changes: Any) -> None:
        self.write(self.name.manifest_key, json.dumps({**self.manifest(), **changes}).encode())

    def write(self, key: str, data: bytes) -> None:
        path = self.directory / f"changed-{len(list(self.directory.iterdir()))}"
        path.write_bytes(data)
        self.files[key] = path

    def bundle_keys(self, part: str) -> list[str]:
        return [key for key in self.files if f"_{part}_" in key]

    def copy(self, directory: Path) -> Backup:
        shutil.copytree(self.directory, directory)
        return Backup(directory, self.name, {key: directory / path.name for key, path in self.files.items()})

    def upload(self, store: stores.Store) -> None:
        for key, path in sorted(self.files.items()):
            store.put(str(path), key)


def add_bundle(backup: Backup, owner: Identity, part: str, moment: datetime.datetime, recipient: str) -> str:
    """Seal one part of the identity, and return its key."""
    bundle = owner.bundle(part)
    name = names.IdentityName(moment.replace(microsecond=0), part, identity.digest(bundle)[:16], owner.cluster)
    sealed = seal.encrypt(identity.pack(bundle), [recipient], 30)
    path = backup.directory / f"bundle-{len(backup.files)}"
    path.write_bytes(sealed)
    told = manifest.IdentityManifest(
        cluster=owner.cluster,
        key=name.key,
        time=names.format_time(moment),
        member="cp1",
        part=part,
        digest=identity.digest(bundle),
        bytes=len(sealed),
        sha256=seal.sha256_of(str(path)),
    )
    backup.files[name.key] = path
    backup.write(name.manifest_key, manifest.dump(told))
    return name.key


def take(etcd: Etcd, owner: Identity, directory: Path, recipient: str, age: datetime.timedelta) -> Backup:
    """Snapshot, seal and describe what an etcd holds."""
    directory.mkdir()
    moment = datetime.datetime.now(UTC).replace(microsecond=0) - age
    snapshot, sealed = directory.parent / "snapshot.db", directory / "sealed"
    etcd.snapshot(str(snapshot), 60)
    status = status_of(str(snapshot), 60)
    seal.seal(str(snapshot), str(sealed), [recipient], 60)
    snapshot.unlink()
    name = names.SnapshotName(moment, status.revision, ETCD, "cp1", owner.cluster)
    backup = Backup(directory, name, {name.key: sealed})
    earlier = moment - datetime.timedelta(days=3)
    bundles = {part: add_bundle(backup, owner, part, earlier, recipient) for part in ("control_plane", "etcd")}
    told = manifest.SnapshotManifest(
        cluster=owner.cluster,
        key=name.key,
        time=names.format_time(moment),
        member="cp1",
        etcd_version=ETCD,
        cluster_id="cafe",
        revision=status.revision,
        hash=status.hash,
        keys=status.keys,
        db_bytes=status.db_bytes,
        bytes=sealed.stat().st_size,
        sha256=seal.sha256_of(str(sealed)),
        counts=etcd.counts(status.revision),
        identity=bundles,
        recipients=[recipient],
    )
    backup.write(name.manifest_key, manifest.dump(told))
    return backup


def made(directory: Path, owner: Identity, recipient: str, **filling: Any) -> Backup:
    """A backup of a new etcd with the usual content, five minutes old."""
    directory.mkdir(mode=0o700, exist_ok=True)
    with drill_etcd.serving(directory / "data", directory, 60) as etcd:
        fill(etcd, owner, **filling)
        return take(etcd, owner, directory / "backup", recipient, datetime.timedelta(minutes=5))


def made_through_an_api_server(directory: Path, owner: Identity, recipient: str, broken: bool) -> Backup:
    """A backup of what a real API server wrote. `broken`: one Secret is well encrypted, and no Secret."""
    directory.mkdir(mode=0o700)
    with drill_etcd.serving(directory / "data", directory, 60) as etcd:
        files = owner.files["control_plane"]
        with drill_api.serving(etcd, files, "10.96.0.0/16", directory, 90) as api:
            use(api, owner)
        if broken:
            put(etcd, "/registry/secrets/default/broken", encrypted(b"k8s\x00 no Secret at all"))
        return take(etcd, owner, directory / "backup", recipient, datetime.timedelta(minutes=5))


def connect(server: ObjectStore, keys: Keys, directory: Path, bucket: str, prefix: str) -> stores.Store:
    """A store called `main`, as whoever has these keys reaches it."""
    config = directory / f"rclone-{keys.access}.conf"
    config.touch(mode=0o600)
    config.write_text(stores.rclone_config([server.settings("main", bucket, keys)]))
    return stores.Store("main", bucket, str(config), prefix, str(server.ca_file), timeout=60)
