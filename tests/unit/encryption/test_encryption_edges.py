# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading keys off stored values and metrics, and which objects are written again."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._encryption import loaded, stored
from ansible_collections.caravan.cluster.plugins.module_utils._encryption.errors import EncryptionError
from ansible_collections.caravan.cluster.plugins.module_utils._encryption.rewrite import collections, object_path
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm.api import ApiError


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"k8s:enc:secretbox:v1:key-20260901-2:\x00\x8f:\xff", "key-20260901-2"),
        (b"k8s:enc:aescbc:v1:old:\x00", "aescbc:old"),
        (b"k8s:enc:kms:v2:vault:\x00", "kms:vault"),
        (b"k8s\x00\x0a\x0c", None),
        (b'{"kind":"Widget"}', None),
        (b"", None),
    ],
)
def test_the_key_of_a_value(value: bytes, key: str | None) -> None:
    assert stored.key_of(value) == key


class Etcd:
    """Answers range requests as etcd's gateway does."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.values = {path.encode(): value for path, value in values.items()}
        self.limits: list[int] = []

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        start, end = base64.b64decode(request["key"]), base64.b64decode(request["range_end"])
        found = sorted(path for path in self.values if start <= path < end)
        self.limits.append(request["limit"])
        page = found[: request["limit"]]
        answer: dict[str, Any] = {
            "kvs": [
                {"key": base64.b64encode(path).decode(), "value": base64.b64encode(self.values[path]).decode()}
                for path in page
            ]
        }
        return {**answer, "more": True} if len(page) < len(found) else answer


def test_a_scan_goes_over_all_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "PAGE", 3)
    etcd = Etcd(
        {f"/registry/secrets/a/s{n}": b"k8s:enc:secretbox:v1:key1:x" for n in range(7)}
        | {f"/registry/configmaps/a/c{n}": b"k8s\x00" for n in range(2)}
        | {"/registry/secrets/a/t": b"k8s:enc:secretbox:v1:key2:x", "/other": b"k8s:enc:secretbox:v1:key3:x"}
    )
    found = stored.scan(etcd)
    assert found.objects == 10
    assert found.keys == {"key1": 7, "key2": 1}
    assert found.plain == {"configmaps": 2}
    assert found.resources == {"key1": {"secrets": 7}, "key2": {"secrets": 1}}


def test_large_objects_make_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "PAGE_BYTES", 100)
    monkeypatch.setattr(stored, "PAGE", 8)
    etcd = Etcd({f"/registry/events/e{n:02}": b"k8s\x00" + b"x" * 50 for n in range(20)})
    assert stored.scan(etcd).objects == 20
    assert etcd.limits[:4] == [8, 4, 2, 1]
    assert max(etcd.limits[4:]) == 2


def test_what_is_left_over_is_told() -> None:
    found = stored.scan(
        Etcd(
            {
                "/registry/secrets/a/old": b"k8s:enc:secretbox:v1:key1:x",
                "/registry/secrets/a/new": b"k8s:enc:secretbox:v1:key2:x",
                "/registry/secrets/a/plain": b"k8s\x00",
            }
        )
    )
    told = stored.left_over(found, "key2", ["secrets", "configmaps"])
    assert told == "1 objects under key1 (/registry/secrets/a/old); 1 secrets are stored plain"


METRICS = """\
# TYPE apiserver_encryption_config_controller_last_config_info gauge
apiserver_encryption_config_controller_last_config_info{{apiserver_id_hash="sha256:{0}",hash="sha256:{1}"}} 1
apiserver_encryption_config_controller_automatic_reloads_total{{apiserver_id_hash="sha256:{0}",status="failure"}} 2
"""


def test_what_an_api_server_says_it_uses() -> None:
    text = METRICS.format("a" * 64, "b" * 64)
    assert loaded.loaded_digest(text) == "b" * 64
    assert loaded.failures(text) == 2
    assert (loaded.loaded_digest(""), loaded.failures("")) == ("", 0)


def test_waiting_outlasts_an_api_server_that_is_away() -> None:
    answers: Iterator[str | ApiError] = iter(
        [ApiError("refused"), METRICS.format("a" * 64, "b" * 64), METRICS.format("a" * 64, "c" * 64)]
    )

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    ticks = iter(range(100))
    assert loaded.wait_loaded("c" * 64, ask, 60, lambda: float(next(ticks)), lambda _seconds: None) > 0


def test_waiting_says_what_was_seen_last() -> None:
    ticks = iter(range(100))
    with pytest.raises(EncryptionError, match="it uses bbbbbbbbbbbb, 2 attempts to load have failed"):
        loaded.wait_loaded(
            "c" * 64,
            lambda: METRICS.format("a" * 64, "b" * 64),
            5,
            lambda: float(next(ticks)),
            lambda _seconds: None,
        )


def test_which_collections_are_written_again() -> None:
    verbs = ["get", "list", "patch"]
    groups = [
        (
            "",
            "/api/v1",
            [
                {"name": "secrets", "verbs": verbs},
                {"name": "pods/status", "verbs": ["get", "patch"]},
                {"name": "bindings", "verbs": ["create"]},
            ],
        ),
        ("apps", "/apis/apps/v1", [{"name": "deployments", "verbs": verbs}]),
    ]
    assert collections(["secrets"], groups) == ["/api/v1/secrets"]
    assert collections(["*.apps"], groups) == ["/apis/apps/v1/deployments"]
    assert collections(["*.*"], groups) == ["/api/v1/secrets", "/apis/apps/v1/deployments"]


def test_the_path_of_an_object() -> None:
    assert object_path("/api/v1/secrets", {"name": "s", "namespace": "a"}) == "/api/v1/namespaces/a/secrets/s"
    assert object_path("/apis/x.io/v1/widgets", {"name": "w:1"}) == "/apis/x.io/v1/widgets/w:1"
