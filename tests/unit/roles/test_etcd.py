# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's configuration: bounded in size, closed to strangers, and never the begin of a second cluster."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from rendering import Host


@pytest.fixture(scope="module")
def configuration() -> dict[str, Any]:
    host = Host("etcd", "cp1", cluster_node_name="cp1", cluster_node_address="10.0.0.11")
    return dict(yaml.safe_load(host.template("etcd.yml.j2")))


def test_it_compacts_by_itself_and_has_a_quota(configuration: dict[str, Any]) -> None:
    assert configuration["auto-compaction-mode"] == "periodic"
    assert configuration["auto-compaction-retention"]
    assert configuration["quota-backend-bytes"] >= 2 << 30
    assert configuration["election-timeout"] >= 5 * configuration["heartbeat-interval"]


def test_metrics_are_for_the_host_itself_and_all_else_is_tls(configuration: dict[str, Any]) -> None:
    metrics = urlsplit(configuration["listen-metrics-urls"])
    assert metrics.hostname and ipaddress.ip_address(metrics.hostname).is_loopback
    for name in ("listen-peer-urls", "listen-client-urls", "initial-advertise-peer-urls", "advertise-client-urls"):
        assert {urlsplit(url).scheme for url in configuration[name].split(",")} == {"https"}
    for kind in ("client-transport-security", "peer-transport-security"):
        assert configuration[kind]["client-cert-auth"] is True
        assert configuration[kind]["trusted-ca-file"] == "/etc/etcd/pki/ca.crt"
    assert configuration["tls-min-version"] == "TLS1.2"
    assert all("GCM" in suite or "CHACHA20" in suite for suite in configuration["cipher-suites"])


def test_a_member_is_known_by_name_and_makes_no_cluster_of_its_own(configuration: dict[str, Any]) -> None:
    assert configuration["advertise-client-urls"] == "https://cp1:2379"
    assert configuration["initial-advertise-peer-urls"] == "https://cp1:2380"
    assert configuration["initial-cluster-state"] == "existing" and "initial-cluster" not in configuration
    assert configuration["strict-reconfig-check"] is True
