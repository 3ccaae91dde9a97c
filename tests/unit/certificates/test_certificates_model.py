# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done about a host's certificates, and what is told of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import metrics
from ansible_collections.caravan.cluster.plugins.module_utils._certificates import config, report
from ansible_collections.caravan.cluster.plugins.module_utils._certificates.model import (
    KUBELET,
    NOBODY,
    PLAYBOOK,
    TIMER,
    Certificate,
    Plan,
    plan,
)
from ansible_collections.caravan.cluster.plugins.module_utils._certificates.renewal import Result

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)


def certificate(name: str, reason: str = "", renewed_by: str = TIMER) -> Certificate:
    return Certificate(name, f"/{name}", renewed_by, NOW - timedelta(days=75), NOW + timedelta(days=25), reason)


def test_only_what_is_due_is_touched() -> None:
    assert plan([certificate("etcd-server"), certificate("etcd-ca", renewed_by=NOBODY)]) == Plan()


def test_what_has_expired_waits_for_no_one() -> None:
    found = [
        certificate("etcd-server", "12% of its life is left"),
        certificate("admin.conf", "expired"),
        certificate("scheduler.conf", "20% of its life is left"),
        certificate("kubelet-server", "expired", KUBELET),
        certificate("apiserver-etcd-client", "expired", PLAYBOOK),
    ]
    assert plan(found) == Plan(("admin.conf",), ("etcd-server", "scheduler.conf"), ("apiserver-etcd-client",))


def test_the_share_of_its_life_that_is_left() -> None:
    assert certificate("a").left(NOW) == pytest.approx(0.25)
    assert certificate("a").left(NOW + timedelta(days=30)) == 0
    assert Certificate("a", "/a", TIMER, None, None).left(NOW) == 0


DOCUMENT: dict[str, Any] = {
    "cluster": "demo",
    "node": "cp1",
    "parts": ["etcd"],
    "site": {"name": "cp1", "address": "10.0.0.11"},
    "members": {"cp1": "https://cp1:2379"},
    "api_servers": {"cp1": "10.0.0.11"},
    "api_port": 6443,
    "kubeadm": "/kubeadm.yml",
    "user_hours": 8760,
    "timeout": 120,
    "patience": 30,
    "metrics": "/metrics",
}


def samples(result: Result, before: metrics.Metrics) -> dict[str, float]:
    after = report.measured(config.parse(DOCUMENT), result, before, NOW)
    return {name + dict(labels).get("certificate", ""): value for (name, labels), value in after.samples.items()}


def test_a_run_that_left_nothing_is_a_success() -> None:
    seen = samples(Result([certificate("etcd-server")]), metrics.Metrics(report.DESCRIBED))
    now = NOW.timestamp()
    assert seen == {
        "caravan_certificate_not_after_timestamp_secondsetcd-server": now + 25 * 86400,
        "caravan_certificate_not_before_timestamp_secondsetcd-server": now - 75 * 86400,
        "caravan_certificate_renewal_last_run_timestamp_seconds": now,
        "caravan_certificate_renewal_last_success_timestamp_seconds": now,
        "caravan_certificate_renewal_due": 0,
        "caravan_certificate_renewal_failures_total": 0,
    }


def test_failures_are_counted_and_the_last_success_remembered() -> None:
    before = report.measured(
        config.parse(DOCUMENT), Result(), metrics.Metrics(report.DESCRIBED), NOW - timedelta(days=1)
    )
    due = [certificate("etcd-server", "12% of its life is left")]
    failed = samples(Result(due, error="it broke"), before)
    assert failed["caravan_certificate_renewal_failures_total"] == 1
    assert failed["caravan_certificate_renewal_due"] == 1
    assert failed["caravan_certificate_renewal_last_success_timestamp_seconds"] == NOW.timestamp() - 86400
    # Left for the next time: neither a failure nor a success.
    waiting = samples(Result(due, postponed=["cp2 is at it"]), before)
    assert waiting["caravan_certificate_renewal_failures_total"] == 0
    assert waiting["caravan_certificate_renewal_last_success_timestamp_seconds"] == NOW.timestamp() - 86400


def test_a_configuration_that_lacks_something_says_what(tmp_path: Path) -> None:
    path = tmp_path / "certificates.json"
    for text, words in (("", "is not JSON"), ("{}", "lacks 'cluster'")):
        path.write_text(text)
        with pytest.raises(config.CertificateError, match=words):
            config.load(path)
    with pytest.raises(config.CertificateError, match="cannot be read"):
        config.load(tmp_path / "none")
