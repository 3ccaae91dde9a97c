# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios measure and judge with must itself be right."""

from __future__ import annotations

import base64
import struct
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest
from cluster_tests.cluster import heard_since, node_problems, pod_problems
from cluster_tests.inventory import MissingVariableError, load
from cluster_tests.machines import partition_rules
from cluster_tests.playbooks import changed_tasks
from cluster_tests.prober import Probe, Prober, Record, longest_gap
from cluster_tests.secrets import Needle, leaks, needles, shapes
from cluster_tests.waiting import StillWaitingError, wait_until
from cluster_tests.watch import Packet, parse_packet


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class TestWaiting:
    def test_returns_the_time_it_took(self) -> None:
        clock = Clock()
        taken = wait_until("x", lambda: (clock.now >= 2, "no"), 5, interval=0.5, clock=clock.read, sleep=clock.sleep)
        assert taken == 2

    def test_says_what_it_saw_last(self) -> None:
        clock = Clock()
        with pytest.raises(StillWaitingError, match=r"node ready: not after 3\.0 s; seen last: 2 of 3"):
            wait_until("node ready", lambda: (False, "2 of 3"), 3, interval=1, clock=clock.read, sleep=clock.sleep)

    def test_an_exception_is_not_yet(self) -> None:
        clock = Clock()

        def look() -> tuple[bool, str]:
            raise ConnectionRefusedError("refused")

        with pytest.raises(StillWaitingError, match="ConnectionRefusedError: refused"):
            wait_until("api", look, 1, interval=1, clock=clock.read, sleep=clock.sleep)


class TestProber:
    @pytest.mark.parametrize(
        ("acknowledged", "gap"),
        [([], 10), ([5], 5), ([1, 2, 9.5], 7.5), ([9, 1], 8), ([-3, 12], 10)],
    )
    def test_longest_gap_counts_the_edges(self, acknowledged: list[float], gap: float) -> None:
        assert longest_gap(acknowledged, 0, 10) == gap

    def test_lost_are_the_acknowledged_that_are_not_there(self) -> None:
        record = Record([Probe("a", 0, 1, None), Probe("b", 0, 1, "TimeoutError"), Probe("c", 0, 1, None)])
        assert record.lost({"a"}) == ["c"]
        assert record.errors() == {"TimeoutError": 1}

    def test_a_stuck_probe_does_not_stop_the_others(self) -> None:
        free = threading.Event()

        def write(name: str) -> None:
            if name.endswith("-0"):
                free.wait(60)
                raise TimeoutError("timed out")

        with Prober(write, prefix="p", rate=100) as prober:
            wait_until("the others", lambda: (prober.acknowledged_since(0) >= 15, "fewer"), 30, interval=0.01)
            free.set()
        assert prober.record.errors() == {"TimeoutError: timed out": 1}


class TestPlaybooks:
    def test_changed_tasks(self) -> None:
        tasks = [
            {"name": "a", "hosts": {"ok": ["cp1"], "changed": ["cp2"]}},
            {"name": "b", "hosts": {"changed": ["cp2", "w"]}},
            {"name": "c", "hosts": {}},
        ]
        report = {"phases": [{"name": "etcd", "tasks": tasks}]}
        assert changed_tasks(report) == {"cp2": ["etcd: a", "etcd: b"], "w": ["etcd: b"]}


KEY = "-----BEGIN PRIVATE KEY-----\n{}\n{}\n{}\n-----END PRIVATE KEY-----\n".format("A" * 64, "Bq" * 32, "C" * 40)


class TestSecrets:
    def test_a_key_is_found_as_it_is(self) -> None:
        wanted = needles("/k", KEY)
        assert leaks({"log": f"x {'Bq' * 32} y"}, wanted) == ["log: holds a secret of /k"]

    def test_a_key_is_found_inside_base64(self) -> None:
        wanted = needles("/k", KEY)
        assert leaks({"log": base64.b64encode(KEY.encode()).decode()}, wanted) == ["log: holds a secret of /k"]

    def test_fields(self) -> None:
        wanted = needles("/f", 'secret: "c2VjcmV0a2V5"\n  token: abcdef.0123456789\n  client-key-data: QUJDREVGR0g=\n')
        assert {needle.value for needle in wanted} == {"c2VjcmV0a2V5", "abcdef.0123456789", "QUJDREVGR0g="}

    def test_a_certificate_is_no_secret(self) -> None:
        assert needles("/c", KEY.replace("PRIVATE KEY", "CERTIFICATE")) == set()

    @pytest.mark.parametrize(
        ("text", "seen"),
        [
            ("kubeadm join --token abcdef.0123456789abcdef now", ["log: holds a bootstrap token"]),
            ("key: -----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIGkeyMaterial", ["log: holds a private key"]),
            (f"Bearer eyJ{'a' * 30}.eyJ{'b' * 30}.{'c' * 40}", ["log: holds a service account's token"]),
            ("k8s-app.kubernetes.io ansible-tmp-1795250180.6325524-23391 v1.36.3 -----BEGIN PRIVATE KEY-----", []),
        ],
    )
    def test_secrets_are_known_by_their_shape(self, text: str, seen: list[str]) -> None:
        assert shapes({"log": text}) == seen

    def test_a_needle_does_not_show_its_value(self) -> None:
        assert "hunter22" not in repr(Needle("/f", "hunter22"))


def frame(protocol: int, port: int, flags: int = 0) -> bytes:
    ip = struct.pack("!BBHHHBBH4B4B", 0x45, 0, 40, 0, 0, 64, protocol, 0, 10, 0, 0, 1, 10, 0, 0, 2)
    payload = struct.pack("!HH", 4000, port)
    if protocol == 6:
        payload += struct.pack("!IIBBHHH", 0, 0, 0x50, flags, 0, 0, 0)
    return bytes(12) + b"\x08\x00" + ip + payload


class TestPackets:
    def test_syn(self) -> None:
        assert parse_packet(frame(6, 443, 0x02)) == Packet("tcp", "10.0.0.1", "10.0.0.2", 443)

    @pytest.mark.parametrize("flags", [0x12, 0x10, 0x04])
    def test_other_segments_open_nothing(self, flags: int) -> None:
        assert parse_packet(frame(6, 443, flags)) is None

    def test_udp(self) -> None:
        assert parse_packet(frame(17, 53)) == Packet("udp", "10.0.0.1", "10.0.0.2", 53)

    def test_arp_and_stumps(self) -> None:
        assert parse_packet(bytes(12) + b"\x08\x06" + bytes(40)) is None
        assert parse_packet(b"") is None


class TestCluster:
    def test_node_problems(self) -> None:
        ready = {"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        unknown = {"metadata": {"name": "b"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
        assert node_problems([ready], {"a"}) == []
        assert node_problems([ready, unknown], {"b", "c"}) == [
            "node c: absent",
            "node a: not in the inventory",
            "node b: Ready is Unknown",
        ]

    def test_heard_since(self) -> None:
        def lease(name: str, moment: str) -> dict[str, object]:
            return {"metadata": {"name": name}, "spec": {"renewTime": moment}}

        leases = [lease("a", "2026-01-01T00:00:01.000000Z"), lease("b", "2025-12-31T23:59:59.999999Z")]
        assert heard_since(leases, datetime(2026, 1, 1, tzinfo=timezone.utc)) == {"a"}

    def test_finished_and_leaving_pods_are_no_problem(self) -> None:
        pods = [
            {"metadata": {"name": "done"}, "status": {"phase": "Succeeded"}},
            {"metadata": {"name": "leaving", "deletionTimestamp": "now"}, "status": {"phase": "Running"}},
            {"metadata": {"name": "young"}, "status": {"phase": "Pending"}},
        ]
        assert pod_problems(pods) == ["pod young: Pending, Ready is Missing"]


def test_partition_rules_drop_one_direction_only() -> None:
    rules = partition_rules("output", ["10.0.0.2", "10.0.0.3"])
    assert "ip daddr { 10.0.0.2, 10.0.0.3 } drop" in rules
    assert "saddr" not in rules


def test_inventory_resolves_templates(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(
        "all: {vars: {name: x, path: '{{ name }}/y'}, children: {worker: {hosts: {b: {n: 1}, a: }}}}\n"
    )
    inventory = load(tmp_path / "hosts.yml")
    assert inventory.hosts("worker", "worker", "absent") == ("b", "a")
    assert inventory.value("a", "path") == "x/y"
    assert inventory.value("a", "n", 2) == 2
    with pytest.raises(MissingVariableError, match="a: n is not set"):
        inventory.value("a", "n")
