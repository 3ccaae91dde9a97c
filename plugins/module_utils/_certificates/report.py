# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves for others to see: metrics for Prometheus' node exporter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .._backup import metrics
from .config import Config
from .model import Certificate
from .renewal import Result

FILE = "certificates.prom"
_CERTIFICATE, _RENEWAL = "caravan_certificate", "caravan_certificate_renewal"
DESCRIBED = {
    # Points in time, and not the seconds until then: the file is written once a day.
    f"{_CERTIFICATE}_not_after_timestamp_seconds": ("gauge", "When the certificate ends."),
    f"{_CERTIFICATE}_not_before_timestamp_seconds": ("gauge", "When its life began."),
    f"{_RENEWAL}_last_run_timestamp_seconds": ("gauge", "When this host looked last."),
    f"{_RENEWAL}_last_success_timestamp_seconds": ("gauge", "When nothing was left to do after a run."),
    f"{_RENEWAL}_due": ("gauge", "How many certificates have to be renewed still."),
    f"{_RENEWAL}_failures_total": ("counter", "Runs in which something went wrong."),
}


def measured(config: Config, result: Result, before: metrics.Metrics, now: datetime) -> metrics.Metrics:
    """Return the metrics after a run. Pure. What is not said anew is not kept, but for what counts and remembers."""
    kept = (f"{_RENEWAL}_last_success_timestamp_seconds", f"{_RENEWAL}_failures_total")
    after = metrics.Metrics(DESCRIBED, {key: value for key, value in before.samples.items() if key[0] in kept})
    after.keep("cluster", {config.cluster})
    _put_certificates(after, config.cluster, result.certificates)
    stamp, cluster = int(now.timestamp()), config.cluster
    after.put(f"{_RENEWAL}_last_run_timestamp_seconds", stamp, cluster=cluster)
    due = sum(bool(certificate.reason) for certificate in result.certificates)
    after.put(f"{_RENEWAL}_due", due, cluster=cluster)
    after.add(f"{_RENEWAL}_failures_total", 1 if result.error else 0, cluster=cluster)
    if not result.error and not result.postponed:
        after.put(f"{_RENEWAL}_last_success_timestamp_seconds", stamp, cluster=cluster)
    return after


def write(config: Config, result: Result, now: datetime) -> None:
    """OSError when the disk is full, say."""
    path = config.metrics / FILE
    metrics.write(path, measured(config, result, metrics.read(path, DESCRIBED), now))


def _put_certificates(after: metrics.Metrics, cluster: str, certificates: Sequence[Certificate]) -> None:
    for certificate in certificates:
        if certificate.begins is None or certificate.ends is None:
            continue
        labels = {"cluster": cluster, "certificate": certificate.name, "renewed_by": certificate.renewed_by}
        after.put(f"{_CERTIFICATE}_not_after_timestamp_seconds", int(certificate.ends.timestamp()), **labels)
        after.put(f"{_CERTIFICATE}_not_before_timestamp_seconds", int(certificate.begins.timestamp()), **labels)
