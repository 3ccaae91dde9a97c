# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import registry
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError

# A ConfigMap as an API server stores it, with the metadata shortened.
CONFIG_MAP = (
    b"k8s\x00"
    b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"
    b"\x12\x2a"
    b"\x0a\x11\x0a\x06ca-map\x12\x00\x1a\x03foo\x38\x07"
    b"\x12\x0f\x0a\x06ca.crt\x12\x05-----"
    b"\x12\x04\x0a\x02k2"
    b"\x1a\x00\x22\x00"
)


@pytest.mark.parametrize(
    ("key", "resource"),
    [
        ("/registry/pods/default/web-0", "/registry/pods"),
        ("/registry/minions/cp1", "/registry/minions"),
        ("/registry/services/specs/default/kubernetes", "/registry/services/specs"),
        ("/registry/services/endpoints/default/kubernetes", "/registry/services/endpoints"),
        ("/registry/masterleases/10.0.0.1", "/registry/masterleases"),
        ("/registry/ranges/serviceips", "/registry/ranges"),
        ("/registry/apiregistration.k8s.io/apiservices/v1.", "/registry/apiregistration.k8s.io/apiservices"),
        ("/registry/acid.zalan.do/postgresqls/db/main", "/registry/acid.zalan.do/postgresqls"),
        # A name with a dot is not a group.
        ("/registry/roles/kube-system/a.b", "/registry/roles"),
        ("compact_rev_key", "other"),
        ("/registry", "other"),
        ("/other/thing", "other"),
    ],
)
def test_resource_of(key: str, resource: str) -> None:
    assert registry.resource_of(key) == resource


def test_count_is_sorted() -> None:
    keys = ["/registry/secrets/a/b", "/registry/pods/a/b", "/registry/pods/a/c"]
    assert list(registry.count(keys).items()) == [("/registry/pods", 2), ("/registry/secrets", 1)]
    assert registry.count([]) == {}


def test_config_map_from_protobuf() -> None:
    assert registry.config_map_data(CONFIG_MAP) == {"ca.crt": "-----", "k2": ""}


def test_config_map_from_json() -> None:
    assert registry.config_map_data(b'{"kind":"ConfigMap","data":{"ca.crt":"x"}}') == {"ca.crt": "x"}
    assert registry.config_map_data(b'{"kind":"ConfigMap"}') == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (CONFIG_MAP[:-12], "ends too early"),
        (b"k8s\x00\x13\x01", "wire type 3"),
        (b"k8s\x00\xff", "ends too early"),
        (b"{nonsense", "not the JSON"),
        (b"k8s:enc:secretbox:v1:key1:x", "may be encrypted"),
    ],
)
def test_what_is_no_config_map_is_refused(value: bytes, words: str) -> None:
    with pytest.raises(BackupError, match=words):
        registry.config_map_data(value)
