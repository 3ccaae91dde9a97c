# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key for encryption at rest is rotated, cut off at every step on the way, and nobody who uses the API notices.

What is under which key is read from etcd itself, by etcdctl and not by Caravan's own scan.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from cluster_tests.api import Answer, Api
from cluster_tests.cluster import Cluster
from cluster_tests.playbooks import at_task
from cluster_tests.prober import Prober, Record

pytestmark = [pytest.mark.long, pytest.mark.journal("etcd", "kubelet")]

NAMESPACE = "caravan-keys"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
FILE = "/etc/kubernetes/encryption.yml"
COUNT = 200
# Seconds without an acknowledged write; a balancer that takes a busy API server for dead cuts single connections.
OUTAGE = 5.0
ENCRYPTED = re.compile(rb"k8s:enc:secretbox:v1:([^:]+):")
# What a run says while it works on a step.
STEPS = (
    "read what is under the new key: ",
    "write under the new key: ",
    "Write every object again: ",
    "Take the other keys away: ",
)


def value(name: str) -> str:
    return base64.b64encode(f"the value of {name}".encode()).decode()


def secret(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": {"value": value(name)}}


@pytest.fixture(scope="module")
def names(cluster: Cluster) -> Iterator[list[str]]:
    """Secrets that are there from the beginning."""
    api = cluster.api()
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    names = [f"before-{number}" for number in range(COUNT)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: api.create(SECRETS, secret(name)), names))
    yield names
    api.delete(f"/api/v1/namespaces/{NAMESPACE}")


def write_and_read(api: Api) -> Callable[[str], None]:
    """Return a probe: a Secret is made, and read again through whichever API server the balancer picks.

    A connection that is cut is tried once more, as every client does: on a busy machine the balancer takes an API
    server for dead at times. A wrong answer is never tried again.
    """

    def request(method: str, path: str, body: Any = None) -> Answer:
        try:
            return api.request(method, path, body, timeout=5)
        except (OSError, http.client.HTTPException):
            time.sleep(1)
            return api.request(method, path, body, timeout=5)

    def probe(name: str) -> None:
        made = request("POST", SECRETS, secret(name))
        assert made.status in (201, 409), made.status
        read = request("GET", f"{SECRETS}/{name}")
        assert read.status == 200, read.status
        assert read.json()["data"]["value"] == value(name)

    return probe


def api_servers(cluster: Cluster) -> dict[str, str]:
    """Return the process of each host's API server."""
    return {
        host: cluster.nodes.run(host, ["pgrep", "--exact", "kube-apiserver"]).stdout
        for host in cluster.inventory.hosts("control_plane")
    }


def keys_in_etcd(cluster: Cluster) -> Counter[str]:
    """Return how many objects are under which key."""
    host = cluster.inventory.hosts("etcd")[0]
    answer = json.loads(cluster.etcdctl(host, "get", "/registry/", "--prefix", "--write-out=json"))
    found: Counter[str] = Counter()
    for entry in answer["kvs"]:
        match = ENCRYPTED.match(base64.b64decode(entry["value"]))
        if match:
            found[match.group(1).decode()] += 1
        else:
            assert not base64.b64decode(entry["key"]).startswith(b"/registry/secrets/"), "a Secret is stored plain"
    return found


def keys_of(cluster: Cluster, host: str) -> list[str]:
    """Return the names of the keys in a host's configuration."""
    return re.findall(r"name: (\S+)", cluster.nodes.host(host).file(FILE).content_string)


def judge(cluster: Cluster, record: Record, names: list[str]) -> None:
    """No answer was a wrong one, there was no outage, and every API server reads every Secret that was acknowledged."""
    print(f"{len(record.probes)} writes and reads, errors {dict(record.errors())}")
    assert len(record.probes) > 100
    assert [error for error in record.errors() if error.startswith("AssertionError")] == []
    assert record.outage(record.probes[0].started, record.probes[-1].ended) <= OUTAGE
    written = [*names, *(probe.name for probe in record.acknowledged())]
    for host in cluster.inventory.hosts("control_plane"):
        answer = cluster.member_api(host).request("GET", SECRETS, timeout=60)
        assert answer.status == 200, (host, answer.body[:300])
        held = {item["metadata"]["name"]: item["data"]["value"] for item in answer.json()["items"]}
        assert [name for name in written if held.get(name) != value(name)] == [], host


def test_interrupted_at_every_step_and_completed(cluster: Cluster, names: list[str]) -> None:
    before, processes = set(keys_in_etcd(cluster)), api_servers(cluster)
    with Prober(write_and_read(cluster.api()), prefix="interrupted", rate=5) as watch:
        for step in STEPS:
            run = cluster.playbooks.run("rotate_keys", watch=at_task(step), grace=0.5)
            assert run.code != 0, f"the run ended before it was cut off in '{step}':\n{run.tail()}"
        run = cluster.playbooks.run("rotate_keys").succeeded()
    print(f"after {len(STEPS)} interruptions, the last run took {run.seconds:.0f} s")
    judge(cluster, watch.record, names)
    assert api_servers(cluster) == processes
    after = keys_in_etcd(cluster)
    assert len(after) == 1
    assert not set(after) & before
    held = {host: keys_of(cluster, host) for host in cluster.inventory.hosts("control_plane")}
    assert all(keys == list(after) for keys in held.values()), held


def test_check_mode_says_the_steps_and_changes_nothing(cluster: Cluster) -> None:
    before = {host: keys_of(cluster, host) for host in cluster.inventory.hosts("control_plane")}
    run = cluster.playbooks.run("rotate_keys", arguments=("--check",)).succeeded()
    for said in (
        "let API servers read",
        "let API servers write",
        "write all secrets again",
        "take all other keys away",
    ):
        assert said in run.output
    assert {host: keys_of(cluster, host) for host in before} == before


def test_a_host_that_is_away_stops_the_run_before_anything_is_written(cluster: Cluster) -> None:
    *others, away = cluster.inventory.hosts("control_plane")
    before = {host: keys_of(cluster, host) for host in others}
    run = cluster.playbooks.run("rotate_keys", arguments=("--limit", ",".join(others)))
    assert run.code != 0
    assert f"{away}: it was not reached, and all control-plane hosts are needed" in run.output
    assert {host: keys_of(cluster, host) for host in others} == before


def test_site_leaves_the_new_key_alone(cluster: Cluster) -> None:
    assert cluster.playbooks.run("site").succeeded().changed() == {}


def test_site_refuses_in_the_middle_of_a_rotation_and_says_what_to_do(cluster: Cluster) -> None:
    host, *others = cluster.inventory.hosts("control_plane")
    before = {name: keys_of(cluster, name) for name in (host, *others)}
    document = yaml.safe_load(cluster.nodes.host(host).file(FILE).content_string)
    for entry in document["resources"]:
        second = {"name": "key-20000101-1", "secret": base64.b64encode(bytes(range(32))).decode()}
        entry["providers"][0]["secretbox"]["keys"].append(second)
    # In place, so that mode and owner stay as they are.
    cluster.nodes.run(host, ["tee", FILE], stdin=yaml.safe_dump(document))
    refused = cluster.playbooks.run("site")
    assert refused.code != 0
    assert "run the playbook rotate_keys" in refused.output
    completed = cluster.playbooks.run("rotate_keys").succeeded()
    assert "An earlier rotation was not finished" in completed.output
    assert {name: keys_of(cluster, name) for name in before} == before
    assert cluster.playbooks.run("site").succeeded().changed() == {}
